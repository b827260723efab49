"""Script mode: the two functions that AWS's XGBoost image calls in place of its own serving code.

The image reads the body and owns HTTP; here is only what `server.py` does between the two.
"""

from pathlib import Path

from inference import codecs, model


def model_fn(model_dir: str) -> model.Bundle:
    """Load the bundle that SageMaker unpacked into `model_dir`."""
    return model.load(Path(model_dir))


def transform_fn(
    bundle: model.Bundle, body: bytes | str, content_type: str, accept: str
) -> tuple[bytes, str]:
    """One request -> (body, content type). Raises codecs.RequestError for a bad request."""
    media_type = codecs.answer_type(accept)
    # The image hands over text bodies decoded.
    raw = body.encode() if isinstance(body, str) else body
    features = codecs.decode(bundle.transform, raw, content_type)
    return codecs.encode(bundle.predict(features), bundle.version, media_type), media_type
