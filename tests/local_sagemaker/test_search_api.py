"""Search and GetSearchSuggestions, through boto3."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_sagemaker import wire
from local_sagemaker.arns import arn
from local_sagemaker.engine import filters
from tests.local_sagemaker import pipelining

START = 1_700_000_000.0
SHAPE = wire.record_shape("TrainingJob")


def job(number: int, **changes: Any) -> dict[str, Any]:
    """The row of a training job that has run."""
    name = f"job-{number:04}"
    return {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:aws:sagemaker:us-east-1:000000000000:training-job/{name}",
        "TrainingJobStatus": "Failed" if number % 4 == 3 else "Completed",
        "SecondaryStatus": "Completed",
        "HyperParameters": {"depth": str(number), "eta": f"0.{number}", "kind": "tree"},
        "AlgorithmSpecification": {"TrainingImage": "x/sagemaker-xgboost:3.2-0"},
        "InputDataConfig": [channel("train", "s3://b/train"), channel("test", "s3://c/test")],
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1 + number % 2},
        "EnableManagedSpotTraining": number == 0,
        "FinalMetricDataList": [metric("auc", number / 10), metric("test:loss.mean", -number)],
        "CreationTime": START + number,
        "LastModifiedTime": START + 1000 - number,
        **changes,
    }


def metric(name: str, value: float) -> dict[str, Any]:
    return {"MetricName": name, "Value": value, "Timestamp": START}


def channel(name: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


@pytest.fixture
def jobs(local: Any) -> Any:
    """Eight training jobs; the even ones are tagged."""
    for number in range(8):
        row = job(number)
        tags = [{"Key": "team", "Value": f"t{number}"}] if number % 2 == 0 else []
        local.plane.store.insert("training-job", row["TrainingJobName"], row, tags=tags)
    return local.client()


def condition(name: str, operator: str | None = None, value: str | None = None) -> dict[str, str]:
    members = {"Name": name, "Operator": operator, "Value": value}
    return {member: text for member, text in members.items() if text is not None}


def found(client: Any, *conditions: dict[str, str], **request: Any) -> list[int]:
    """The numbers of the jobs that a search finds, in the order of their creation."""
    if conditions:
        request["SearchExpression"] = {"Filters": list(conditions)}
    answer = client.search(
        Resource="TrainingJob", **{"SortBy": "CreationTime", "SortOrder": "Ascending"} | request
    )
    names = [each["TrainingJob"]["TrainingJobName"] for each in answer["Results"]]
    return [int(name.removeprefix("job-")) for name in names]


def refused(call: Callable[..., Any], **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    assert error["Code"] == "ValidationException"
    return str(error["Message"])


@pytest.mark.parametrize(
    ("filter_", "wanted"),
    [
        (condition("TrainingJobName", None, "job-0003"), [3]),
        (condition("trainingjobname", "Equals", "job-0003"), [3]),
        (condition("TrainingJobStatus", "NotEquals", "Completed"), [3, 7]),
        (condition("TrainingJobName", "In", "job-0001, job-0002,x"), [1, 2]),
        (condition("TrainingJobName", "Contains", "0005"), [5]),
        (condition("FailureReason", "NotExists"), [0, 1, 2, 3, 4, 5, 6, 7]),
        (condition("FailureReason", "Exists"), []),
        (condition("FailureReason", "NotEquals", "x"), [0, 1, 2, 3, 4, 5, 6, 7]),
        (condition("InputDataConfig", "Exists"), [0, 1, 2, 3, 4, 5, 6, 7]),
        (condition("ResourceConfig.InstanceCount", "GreaterThan", "1"), [1, 3, 5, 7]),
        (condition("ResourceConfig.InstanceCount", "LessThanOrEqualTo", "1.5"), [0, 2, 4, 6]),
        (condition("CreationTime", "GreaterThan", "2023-11-14T22:13:25"), [6, 7]),
        (condition("CreationTime", "LessThan", "2023-11-14T23:13:21+01:00"), [0]),
        (condition("EnableManagedSpotTraining", "Equals", "true"), [0]),
        (condition("Metrics.auc", "GreaterThanOrEqualTo", "0.6"), [6, 7]),
        (condition("Metrics.test:loss.mean", "LessThan", "-5.5"), [6, 7]),
        (condition("FinalMetricDataList.auc", "Equals", "0.1"), [1]),
        (condition("HyperParameters.depth", "LessThan", "2"), [0, 1]),
        (condition("HyperParameters.depth", "LessThan", "10"), [0, 1, 2, 3, 4, 5, 6, 7]),
        (condition("HyperParameters.eta", "GreaterThan", "0.55"), [6, 7]),
        (condition("HyperParameters.eta", "Equals", "0"), [0, 1, 2, 3, 4, 5, 6, 7]),
        (condition("HyperParameters.kind", "Equals", "tree"), [0, 1, 2, 3, 4, 5, 6, 7]),
        (condition("HyperParameters.kind", "GreaterThan", "1"), []),
        (condition("HyperParameters.none", "Exists"), []),
        (condition("Tags.team", "Equals", "t2"), [2]),
        (condition("Tags.team", "Exists"), [0, 2, 4, 6]),
        (condition("InputDataConfig.ChannelName", "Equals", "test"), [0, 1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_a_filter_finds_what_fulfils_it(jobs: Any, filter_: Any, wanted: list[int]) -> None:
    assert found(jobs, filter_) == wanted


def test_a_nested_filter_is_about_one_element_of_a_list(jobs: Any) -> None:
    def nested(uri: str) -> list[int]:
        name = "InputDataConfig.DataSource.S3DataSource.S3Uri"
        filters_ = [
            condition("InputDataConfig.ChannelName", "Equals", "train"),
            condition(name, "Contains", uri),
        ]
        both = {"NestedPropertyName": "InputDataConfig", "Filters": filters_}
        return found(jobs, SearchExpression={"NestedFilters": [both]})

    assert nested("train") == [0, 1, 2, 3, 4, 5, 6, 7]
    assert nested("test") == []


def test_expressions_are_joined_by_and_and_or(jobs: Any) -> None:
    low, high = (
        condition("HyperParameters.depth", "LessThan", "2"),
        condition("HyperParameters.depth", "GreaterThan", "5"),
    )
    assert found(jobs, low, high) == []
    either = {"Operator": "Or", "Filters": [low, high]}
    assert found(jobs, SearchExpression=either) == [0, 1, 6, 7]
    failed = condition("TrainingJobStatus", "Equals", "Failed")
    both = {"SubExpressions": [either, {"Filters": [failed]}]}
    assert found(jobs, SearchExpression=both) == [7]


def test_results_come_in_pages_newest_change_first(jobs: Any) -> None:
    answer = jobs.search(Resource="TrainingJob", MaxResults=5)
    assert answer["TotalHits"] == {"Value": 8, "Relation": "EqualTo"}
    names = [each["TrainingJob"]["TrainingJobName"] for each in answer["Results"]]
    assert names == [f"job-000{n}" for n in range(5)]
    answer = jobs.search(Resource="TrainingJob", MaxResults=5, NextToken=answer["NextToken"])
    names = [each["TrainingJob"]["TrainingJobName"] for each in answer["Results"]]
    assert names == ["job-0005", "job-0006", "job-0007"]
    assert "NextToken" not in answer


@pytest.mark.parametrize("name", ["HyperParameters.depth", "metrics.auc", "Tags.team"])
def test_results_are_sorted_by_any_property(local: Any, jobs: Any, name: str) -> None:
    row = job(10, FinalMetricDataList=[metric("auc", 1.0)])
    tags = [{"Key": "team", "Value": "u"}]
    local.plane.store.insert("training-job", row["TrainingJobName"], row, tags=tags)
    assert found(jobs, SortBy=name, SortOrder="Descending")[0] == 10


def test_a_record_has_the_shape_of_the_model_and_the_tags(jobs: Any) -> None:
    only = {"Filters": [condition("TrainingJobName", "Equals", "job-0002")]}
    (result,) = jobs.search(Resource="TrainingJob", SearchExpression=only)["Results"]
    record = result["TrainingJob"]
    assert record["Tags"] == [{"Key": "team", "Value": "t2"}]
    assert record["CreationTime"] == datetime.fromtimestamp(START + 2, UTC)
    assert set(record) <= set(SHAPE.members)


def test_visibility_hides_what_is_tagged_otherwise(jobs: Any) -> None:
    conditions = [{"Key": "Tags.team", "Value": "t2"}]
    assert found(jobs, VisibilityConditions=conditions) == [1, 2, 3, 5, 7]
    message = refused(
        jobs.search, Resource="TrainingJob", VisibilityConditions=[{"Key": "team", "Value": "x"}]
    )
    assert "Tags.<key>" in message


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ({}, "needs a filter"),
        ({"Filters": [condition("Nonsense", "Exists")]}, "Unknown property name: Nonsense"),
        ({"Filters": [condition("TrainingJobName.x", "Exists")]}, "Unknown property name"),
        ({"Filters": [condition("TrainingJobName", "GreaterThan", "a")]}, "not supported"),
        ({"Filters": [condition("CreationTime", "Contains", "2024")]}, "not supported"),
        ({"Filters": [condition("InputDataConfig", "Equals", "x")]}, "not supported"),
        ({"Filters": [condition("CreationTime", "Equals", "yesterday")]}, "a time such as"),
        ({"Filters": [condition("Metrics.auc", "Equals", "high")]}, "must be a number"),
        ({"Filters": [condition("HyperParameters.a", "LessThan", "b")]}, "must be a number"),
        ({"Filters": [condition("EnableManagedSpotTraining", "Equals", "1")]}, "true or false"),
        ({"Filters": [condition("TrainingJobName", "Equals")]}, "needs a Value"),
        ({"Filters": [condition("TrainingJobName")]}, "needs a Value"),
        ({"Filters": [condition("TrainingJobName", "Exists", "x")]}, "takes no Value"),
        (
            {"Filters": [condition("TrainingJobName", "Contains", each) for each in "ab"]},
            "'CONTAINS' operator usage limit of 1 exceeded.",
        ),
        ({"SubExpressions": 3 * [{"Filters": 20 * [condition("RoleArn", "Exists")]}]}, "60"),
        (
            {
                "NestedFilters": [
                    {
                        "NestedPropertyName": "InputDataConfig",
                        "Filters": [condition("TrainingJobName", "Exists")],
                    }
                ]
            },
            "must begin with 'InputDataConfig.'",
        ),
        (
            {
                "NestedFilters": [
                    {
                        "NestedPropertyName": "RoleArn",
                        "Filters": [condition("RoleArn.x", "Exists")],
                    }
                ]
            },
            "name a list of structures",
        ),
    ],
)
def test_what_the_language_does_not_have_is_refused(
    sagemaker: Any, expression: dict[str, Any], complaint: str
) -> None:
    message = refused(sagemaker.search, Resource="TrainingJob", SearchExpression=expression)
    assert complaint in message


def test_resources_that_there_are_not_and_structures_to_sort_by_are_refused(
    sagemaker: Any,
) -> None:
    assert "'Image' is not supported" in refused(sagemaker.search, Resource="Image")
    message = refused(sagemaker.search, Resource="TrainingJob", SortBy="InputDataConfig")
    assert "no single value" in message


def test_components_know_their_trials_their_job_and_their_metrics(
    local: Any, sagemaker: Any
) -> None:
    for name in ("one", "two"):
        sagemaker.create_experiment(ExperimentName=f"of-{name}")
        sagemaker.create_trial(TrialName=name, ExperimentName=f"of-{name}")
    row = job(1, ExperimentConfig={"TrialName": "one", "RunName": "run"})
    row["MetricSummaries"] = [{"MetricName": "loss", "Min": 1.0, "Last": 3.0, "TimeStamp": START}]
    row["ResourceConfig"]["VolumeSizeInGB"] = 5
    local.plane.store.insert("training-job", row["TrainingJobName"], row)
    sagemaker.create_trial_component(TrialComponentName="other")
    name = "job-0001-aws-training-job"
    sagemaker.associate_trial_component(TrialComponentName=name, TrialName="two")

    def search(*conditions: dict[str, str], resource: str = "ExperimentTrialComponent") -> Any:
        expression = {"Filters": list(conditions)}
        return sagemaker.search(Resource=resource, SearchExpression=expression)["Results"]

    for filter_ in (
        condition("Parents.ExperimentName", "Equals", "of-two"),
        condition("Metrics.loss.min", "LessThan", "2"),
        condition("Metrics.loss", "Equals", "3"),
        condition("Parameters.depth", "Equals", "1"),
        condition("Parameters.kind", "Contains", "re"),
        condition("InputArtifacts.train.value", "Contains", "s3://b"),
        condition("SourceDetail.TrainingJob.HyperParameters.depth", "LessThan", "2"),
        condition("Source.SourceArn", "Contains", "job-0001"),
        condition("RunName", "Equals", "run"),
    ):
        (result,) = search(filter_)
        assert result["TrialComponent"]["TrialComponentName"] == name
    record = result["TrialComponent"]
    assert record["Parents"] == [
        {"TrialName": "one", "ExperimentName": "of-one"},
        {"TrialName": "two", "ExperimentName": "of-two"},
    ]
    assert record["SourceDetail"]["TrainingJob"]["TrainingJobName"] == "job-0001"
    filter_ = condition("TrialComponentSummaries.TrialComponentName", "Equals", name)
    trials = search(filter_, resource="ExperimentTrial")
    assert {each["Trial"]["TrialName"] for each in trials} == {"one", "two"}


def test_every_other_resource_is_found_by_its_name(local: Any, sagemaker: Any) -> None:
    sagemaker.create_experiment(ExperimentName="churn")
    sagemaker.create_model_package_group(ModelPackageGroupName="group")
    sagemaker.create_model_package(ModelPackageGroupName="group")
    parameter = {"Name": "Rows", "Type": "Integer", "DefaultValue": 3}
    pipelining.run(local, sagemaker, pipelining.fail("F"), Parameters=[parameter])
    for resource, member, filter_ in (
        ("Experiment", "Experiment", condition("ExperimentName", "Equals", "churn")),
        ("ModelPackageGroup", "ModelPackageGroup", condition("ModelPackageGroupName", "Exists")),
        ("ModelPackage", "ModelPackage", condition("ModelPackageVersion", "Equals", "1")),
        ("Pipeline", "Pipeline", condition("PipelineName", "Equals", "p")),
        ("PipelineExecution", "PipelineExecution", condition("FailureReason", "Equals", "enough")),
        (
            "PipelineExecution",
            "PipelineExecution",
            condition("PipelineParameters.Value", None, "3"),
        ),
    ):
        expression = {"Filters": [filter_]}
        answer = sagemaker.search(Resource=resource, SearchExpression=expression)
        (result,) = answer["Results"]
        assert list(result) == [member]
    for resource in ("Endpoint", "HyperParameterTuningJob", "ExperimentTrial"):
        assert sagemaker.search(Resource=resource)["Results"] == []


def test_suggestions_begin_with_the_hint(jobs: Any) -> None:
    def suggested(hint: str) -> list[str]:
        query = {"PropertyNameQuery": {"PropertyNameHint": hint}}
        answer = jobs.get_search_suggestions(Resource="TrainingJob", SuggestionQuery=query)
        return [each["PropertyName"] for each in answer["PropertyNameSuggestions"]]

    assert suggested("hyperparameters.") == [
        f"HyperParameters.{n}" for n in ("depth", "eta", "kind")
    ]
    assert suggested("Metrics.") == ["Metrics.auc", "Metrics.test:loss.mean"]
    assert suggested("Tags") == ["Tags.team"]
    assert suggested("TrainingJobN") == ["TrainingJobName"]
    for name in suggested(""):
        assert filters.known(SHAPE, name)


def test_a_search_in_a_thousand_jobs_takes_a_moment(local: Any, sagemaker: Any) -> None:
    with local.plane.store.together():
        for number in range(1000):
            row = job(number)
            local.plane.store.insert("training-job", row["TrainingJobName"], row)
    expression = {
        "Filters": [
            condition("HyperParameters.depth", "LessThan", "500"),
            condition("Metrics.auc", "GreaterThan", "40"),
        ]
    }

    def seconds() -> float:
        start = time.perf_counter()
        answer = sagemaker.search(Resource="TrainingJob", SearchExpression=expression)
        assert answer["TotalHits"]["Value"] == 99
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.25  # 30 ms on an idle machine


# What a filter may ask for, and the records it is asked of.
TEXTS = st.sampled_from(["a", "b", "1", "2.5", "x,y"])
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "RoleArn": TEXTS,
        "TrainingTimeInSeconds": st.integers(0, 3),
        "HyperParameters": st.dictionaries(st.sampled_from(["p", "q.r"]), TEXTS, max_size=2),
        "CreationTime": st.sampled_from([START, START + 1]),
        "EnableNetworkIsolation": st.booleans(),
    },
)
VALUES = {
    "RoleArn": TEXTS,
    "TrainingTimeInSeconds": st.sampled_from(["0", "1.5", "3"]),
    "HyperParameters.p": TEXTS,
    "HyperParameters.q.r": TEXTS,
    "CreationTime": st.sampled_from(["2023-11-14T22:13:20", "2023-11-14T22:13:21"]),
    "EnableNetworkIsolation": st.sampled_from(["true", "False"]),
}
CONDITIONS = st.one_of(
    *(
        st.builds(condition, st.just(name), st.sampled_from(["Equals", "NotEquals"]), values)
        for name, values in VALUES.items()
    ),
    st.builds(condition, st.sampled_from(sorted(VALUES)), st.sampled_from(["Exists", "NotExists"])),
    st.builds(
        condition,
        st.just("TrainingTimeInSeconds"),
        st.sampled_from(sorted(filters.ORDER)),
        st.sampled_from(["0", "1.5", "3"]),
    ),
)


def expressions() -> st.SearchStrategy[Any]:
    leaf = st.fixed_dictionaries({"Filters": st.lists(CONDITIONS, min_size=1, max_size=3)})
    operator = {"Operator": st.sampled_from(["And", "Or"])}
    leaf = st.builds(dict, leaf) | st.fixed_dictionaries(
        {"Filters": st.lists(CONDITIONS, min_size=1, max_size=3), **operator}
    )
    return st.recursive(
        leaf,
        lambda inner: st.fixed_dictionaries(
            {"SubExpressions": st.lists(inner, min_size=1, max_size=3), **operator}
        ),
        max_leaves=4,
    )


def holds(expression: dict[str, Any], record: dict[str, Any]) -> bool:
    return filters.compiled(SHAPE, expression)(record)


def one(filter_: dict[str, str]) -> dict[str, Any]:
    return {"Filters": [filter_]}


OPPOSITE = {
    "Equals": "NotEquals",
    "Exists": "NotExists",
    "NotEquals": "Equals",
    "NotExists": "Exists",
    "And": "Or",
    "Or": "And",
}


def negated(expression: dict[str, Any]) -> dict[str, Any]:
    """By De Morgan's laws; an order is left to a subexpression that is its contrary."""
    parts = [
        one({**each, "Operator": OPPOSITE[each["Operator"]]})
        for each in expression.get("Filters", ())
    ]
    parts += [negated(each) for each in expression.get("SubExpressions", ())]
    return {"SubExpressions": parts, "Operator": OPPOSITE[expression.get("Operator", "And")]}


def has_order(expression: dict[str, Any]) -> bool:
    return any(each["Operator"] in filters.ORDER for each in expression.get("Filters", ())) or any(
        has_order(each) for each in expression.get("SubExpressions", ())
    )


@settings(deadline=None, database=None, derandomize=True, max_examples=300)
@given(expressions(), RECORDS)
def test_and_and_or_are_all_and_any_and_their_contraries_de_morgans(
    expression: dict[str, Any], record: dict[str, Any]
) -> None:
    parts = [holds(one(each), record) for each in expression.get("Filters", ())]
    parts += [holds(each, record) for each in expression.get("SubExpressions", ())]
    together = any if expression.get("Operator") == "Or" else all
    assert holds(expression, record) == together(parts)
    if not has_order(expression):
        assert holds(negated(expression), record) != holds(expression, record)


@settings(deadline=None, database=None, derandomize=True, max_examples=200)
@given(st.sampled_from(["0", "1.5", "3"]), RECORDS)
def test_orders_of_a_number_agree_with_each_other(value: str, record: dict[str, Any]) -> None:
    def is_(operator: str) -> bool:
        return holds(one(condition("TrainingTimeInSeconds", operator, value)), record)

    exists = holds(one(condition("TrainingTimeInSeconds", "Exists")), record)
    assert exists == (is_("GreaterThan") or is_("Equals") or is_("LessThan"))
    assert is_("GreaterThanOrEqualTo") == (is_("GreaterThan") or is_("Equals"))
    assert is_("LessThanOrEqualTo") == (exists and not is_("GreaterThan"))


def test_a_search_finds_what_a_filter_of_the_list_would(local: Any, sagemaker: Any) -> None:
    """For any expression and any jobs."""
    store = local.plane.store

    @settings(
        deadline=None,
        database=None,
        derandomize=True,
        max_examples=40,
        suppress_health_check=list(HealthCheck),
    )
    @given(expressions(), st.lists(RECORDS, max_size=6))
    def check(expression: dict[str, Any], records: list[dict[str, Any]]) -> None:
        store.delete_where("training-job", lambda _: True)
        for number, record in enumerate(records):
            name = f"job-{number}"
            made = {"TrainingJobName": name, "TrainingJobArn": arn(local.plane.config, "x", name)}
            store.insert("training-job", name, made | record)
        answer = sagemaker.search(
            Resource="TrainingJob",
            SearchExpression=expression,
            SortBy="TrainingJobName",
            SortOrder="Ascending",
        )
        names = [each["TrainingJob"]["TrainingJobName"] for each in answer["Results"]]
        assert names == [f"job-{n}" for n, each in enumerate(records) if holds(expression, each)]

    check()
