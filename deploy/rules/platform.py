"""Requests around the endpoints that AWS refuses: knowledge bases, APIs, batch, buckets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deploy.rules.rule import Parameters, Plan, rule

TITAN_V2 = "amazon.titan-embed-text-v2"
TITAN_V2_DIMENSIONS = (1024, 512, 256)
AUTHORIZATIONS = ("NONE", "AWS_IAM", "CUSTOM", "COGNITO_USER_POOLS")
CACHE_KEY = re.compile(
    r"method\.request\.(querystring|multivaluequerystring|path|header|multivalueheader)\.[^.]+"
    r"|integration\.request\.(querystring|path|header)\.[^.]+"
)


@rule("create_knowledge_base")
def dimensions_of_titan(request: Parameters, _: Plan) -> Iterator[str]:
    """Titan Text Embeddings v2 gives 1024, 512 or 256 numbers; 1536 was v1."""
    vectors = request["knowledgeBaseConfiguration"].get("vectorKnowledgeBaseConfiguration", {})
    model = vectors.get("embeddingModelArn", "")
    chosen = vectors.get("embeddingModelConfiguration", {})
    size = chosen.get("bedrockEmbeddingModelConfiguration", {}).get("dimensions")
    if TITAN_V2 in model and size is not None and size not in TITAN_V2_DIMENSIONS:
        yield f"dimensions is {size}; {TITAN_V2} has {', '.join(map(str, TITAN_V2_DIMENSIONS))}"


@rule("create_knowledge_base")
def one_storage_of_its_type(request: Parameters, _: Plan) -> Iterator[str]:
    storage = request.get("storageConfiguration", {})
    vectors = storage.get("s3VectorsConfiguration", {})
    if storage.get("type") == "S3_VECTORS" and not {"indexArn", "indexName"} & vectors.keys():
        yield "type S3_VECTORS needs s3VectorsConfiguration with indexArn, or with indexName"


@rule("put_method")
def an_authorization_that_exists(request: Parameters, _: Plan) -> Iterator[str]:
    kind = request["authorizationType"]
    if kind not in AUTHORIZATIONS:
        also = "; an API key is apiKeyRequired and a usage plan" if kind == "API_KEY" else ""
        yield f"authorizationType is {kind!r}; allowed: {', '.join(AUTHORIZATIONS)}{also}"


@rule("put_integration")
def a_cache_key_is_a_parameter(request: Parameters, _: Plan) -> Iterator[str]:
    """A body cannot be a cache key."""
    for each in request.get("cacheKeyParameters", ()):
        if not CACHE_KEY.fullmatch(each):
            yield (
                f"cacheKeyParameters has {each!r}; a key is method.request.querystring.NAME, "
                ".path.NAME or .header.NAME. Keep predictions in a cache of your own"
            )


@rule("register_job_definition")
def fargate_needs_a_role_and_an_image(request: Parameters, _: Plan) -> Iterator[str]:
    if "FARGATE" not in request.get("platformCapabilities", ()):
        return
    container = request.get("containerProperties", {})
    if "executionRoleArn" not in container:
        yield "a job on Fargate needs containerProperties.executionRoleArn"
    image = container.get("image", "")
    if "/" not in image:
        yield f"image is {image!r}; give the registry too, ACCOUNT.dkr.ecr.REGION.amazonaws.com/..."


@rule("put_bucket_lifecycle_configuration")
def expiry_after_transition(request: Parameters, _: Plan) -> Iterator[str]:
    for each in request.get("LifecycleConfiguration", {}).get("Rules", ()):
        end = each.get("Expiration", {}).get("Days")
        moves = [move["Days"] for move in each.get("Transitions", ()) if "Days" in move]
        if end is not None and moves and max(moves) >= end:
            yield (
                f"rule {each.get('ID', '')!r} moves objects on day {max(moves)} and deletes them "
                f"on day {end}; the deletion must come later"
            )
