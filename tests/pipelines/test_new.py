"""A first spec from a CSV: what is guessed, and that it passes the file it came from."""

import random
from pathlib import Path

import pytest

from pipelines import new
from steps import tables, validate
from steps.problem import Problem, load

# Great Expectations 1.24 warns of what it uses itself, while it is imported and when it runs.
pytestmark = pytest.mark.filterwarnings("ignore")


def telco(pick: random.Random) -> str:
    """Header, id, yes and no, 0 and 1, a blank where a number should be."""
    lines = ["customerID,gender,Senior,Partner,tenure,Contract,TotalCharges,Churn"]
    for at in range(120):
        charges = " " if at == 7 else f"{pick.uniform(18, 8000):.2f}"
        contract = pick.choice(["Month-to-month", "One year", "Two, or more"])
        lines.append(
            f"{at:04}-XY,{pick.choice(['Female', 'Male'])},{pick.choice('01')},"
            f'{pick.choice(["Yes", "No"])},{pick.randint(0, 72)},"{contract}",{charges},'
            f"{'Yes' if at % 4 == 0 else 'No'}"
        )
    return "\n".join(lines) + "\n"


def adult(pick: random.Random) -> str:
    """No header, a blank after each comma, ? for missing, a target of two words."""
    rows = [
        [
            str(pick.randint(17, 90)),
            pick.choice(["Private", "State-gov", "?"]),
            pick.choice(["Male", "Female"]),
            ">50K" if at % 5 == 0 else "<=50K",
        ]
        for at in range(120)
    ]
    return "\n".join(", ".join(row) for row in rows) + "\n"


def abalone(pick: random.Random) -> str:
    """No header, words and numbers, a count to predict."""
    return "".join(
        f"{pick.choice('MFI')},{pick.uniform(0.1, 0.8):.3f},{pick.uniform(0.01, 2.8):.4f},"
        f"{pick.randint(1, 29)}\n"
        for _ in range(120)
    )


def engagement(pick: random.Random) -> str:
    """Semicolons, dates, true and false, NA among numbers, free text, a target of four words."""
    lines = ["customer_id;age;joined;push_enabled;nps_score;note;const;next_best_content"]
    for at in range(120):
        nps = "NA" if at % 6 == 0 else str(pick.randint(0, 10))
        lines.append(
            f"C{at};{pick.randint(18, 90)};2024-0{pick.randint(1, 9)}-1{pick.randint(0, 9)};"
            f"{pick.choice(['true', 'false'])};{nps};text {at % 90};eur;"
            f"{pick.choice(['video', 'article', 'podcast', 'course'])}"
        )
    return "\n".join(lines) + "\n"


SHAPES = {
    "telco": (telco, "Churn", "binary"),
    "adult": (adult, "last", "binary"),
    "abalone": (abalone, "last", "regression"),
    "engagement": (engagement, "next_best_content", "multiclass"),
}


def made(tmp_path: Path, shape: str, *more: str) -> tuple[Problem, Path]:
    """The spec that the command writes for made-up data of this shape."""
    write, target, _ = SHAPES[shape]
    data = tmp_path / f"{shape}.csv"
    data.write_text(write(random.Random(3)))
    out = tmp_path / f"{shape}.yaml"
    arguments = ["--data", str(data), "--target", target, "--out", str(out), *more]
    assert new.main(arguments) == 0
    return load(out), data


@pytest.mark.parametrize("shape", SHAPES)
def test_the_spec_passes_the_very_file_it_came_from(
    tmp_path: Path, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validate, "write_page", lambda result, docs: None)
    spec, data = made(tmp_path, shape)
    assert [model.kind for model in spec.models] == [SHAPES[shape][2]]
    outcome = validate.validate(spec, [data], tmp_path)
    assert outcome["failed"] == []
    assert not tables.read(spec, [data]).empty


def test_telco_kinds_ranges_and_facets(tmp_path: Path) -> None:
    spec, _ = made(tmp_path, "telco")
    kinds = {column.name: column.kind for column in spec.columns}
    assert kinds == {
        "customerID": "id",
        "gender": "categorical",
        "Senior": "boolean",
        "Partner": "boolean",
        "tenure": "numeric",
        "Contract": "categorical",
        "TotalCharges": "numeric",
        "Churn": "boolean",
    }
    assert spec.column("Churn").true == ("Yes",)
    assert spec.column("Contract").values == ("Month-to-month", "One year", "Two, or more")
    assert 1 / 120 < spec.column("TotalCharges").null_share < 0.05
    tenure = spec.column("tenure")
    assert tenure.min == 0
    assert tenure.max is not None
    assert 72 < tenure.max < 100
    assert [facet.column for facet in spec.fairness.facets] == ["gender"]


def test_adult_has_no_header_question_marks_and_the_rarer_word_as_true(tmp_path: Path) -> None:
    spec, _ = made(tmp_path, "adult")
    assert spec.data.header is False
    assert spec.data.missing == ("", "?")
    assert [column.name for column in spec.columns] == [f"column_{at}" for at in (1, 2, 3, 4)]
    assert spec.columns[-1].true == (">50K",)


def test_abalone_is_a_regression_on_counts(tmp_path: Path) -> None:
    spec, _ = made(tmp_path, "abalone")
    assert [column.kind for column in spec.columns] == ["categorical"] + ["numeric"] * 3
    assert (spec.columns[1].min, spec.columns[1].max) == (0, 1)


def test_engagement_finds_separator_dates_markers_and_what_is_of_no_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, data = made(tmp_path, "engagement")
    assert spec.data.separator == ";"
    assert spec.data.missing == ("", "NA")
    kinds = [column.kind for column in spec.columns]
    assert kinds[:5] == ["id", "numeric", "timestamp", "boolean", "numeric"]
    assert kinds[5:] == ["ignore", "ignore", "categorical"]
    printed = capsys.readouterr().out
    assert "note: ignore; 90 different texts" in printed
    assert "const: ignore; it holds one value only" in printed
    assert f"--config {tmp_path}/engagement.yaml --data {data}" in printed


def test_the_default_place_is_config_and_named_after_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("My Data-2.csv").write_text(abalone(random.Random(1)))
    assert new.main(["--data", "My Data-2.csv", "--target", "column_4"]) == 0
    spec = load(Path("config/my_data_2.yaml"))
    assert spec.name == "my-data-2"


def test_a_spec_that_is_there_is_kept_unless_forced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, data = made(tmp_path, "abalone")
    out = tmp_path / "abalone.yaml"
    out.write_text("mine")
    arguments = ["--data", str(data), "--target", "last", "--out", str(out)]
    assert new.main(arguments) == 2
    assert "already there; say --force" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert new.main([*arguments, "--force"]) == 0
    assert load(out).name == "abalone"


def test_words_that_stand_again_below_are_no_header(tmp_path: Path) -> None:
    pick = random.Random(5)
    rows = [f"{pick.choice(['red', 'blue'])},{pick.choice(['big', 'small'])}\n" for _ in range(80)]
    (tmp_path / "words.csv").write_text("".join(rows))
    out = tmp_path / "words.yaml"
    data = ["--data", str(tmp_path / "words.csv")]
    assert new.main([*data, "--target", "last", "--out", str(out)]) == 0
    assert load(out).data.header is False


def test_the_header_can_be_said(tmp_path: Path) -> None:
    spec, _ = made(tmp_path, "abalone", "--header", "--name", "with-header")
    assert spec.data.header is True
    assert spec.name == "with-header"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--data", "no.csv", "--target", "x"], 2, "no.csv: no such file"),
        (["--data", "telco.csv", "--target", "churn"], 2, "did you mean 'Churn'?"),
        (["--data", "telco.csv", "--target", "Churn", "--name", "A B"], 2, "--name A B: allowed"),
        (["--data", "telco.csv", "--target", "TotalCharges"], 1, "1 of 120 cells are missing"),
        (["--data", "telco.csv", "--target", "customerID"], 1, "120 different values in 120 rows"),
        (["--data", "empty.csv", "--target", "x"], 1, "empty.csv: the file is empty"),
        (["--data", "short.csv", "--target", "b"], 1, "has 2 rows; at least 50 are needed"),
        (["--data", "ragged.csv", "--target", "b"], 1, "ragged.csv: is not a table"),
        (["--data", "wide.csv", "--target", "b"], 1, "line 2 has more cells than line 1 names"),
        (["--data", "noname.csv", "--target", "b"], 1, "the header has no name for column 1"),
        (["--data", "twice.csv", "--target", "b"], 1, "the header names 'b' twice"),
        (["--data", "binary.csv", "--target", "b"], 1, "is not UTF-8 text"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("telco.csv").write_text(telco(random.Random(3)))
    Path("empty.csv").write_text("")
    Path("short.csv").write_text("a,b\n1,2\n3,4\n")
    Path("ragged.csv").write_text("a,b\n" + "1,2\n" * 90 + "1,2,3\n")
    Path("wide.csv").write_text("a,b\n" + "1,2,3\n" * 90)
    Path("noname.csv").write_text(",b\n" + "1,2\n" * 90)
    Path("twice.csv").write_text("b,b\n" + "1,2\n" * 90)
    Path("binary.csv").write_bytes(b"\xff\xfe\x00")
    assert new.main(arguments) == code
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not Path("config").exists()
