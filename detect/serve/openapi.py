"""The description of the service for programs: OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from detect.serve.limits import Limits
from detect.version import __version__

_NUMBERS = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
_BOX = _NUMBERS | {"description": "x1 y1 x2 y2 in pixels of the upright image"}
_ERRORS = {
    400: "No image in the request, an unknown key in the query, the form or the JSON, a number of the query out of its "
    "range, or /explain of a model with flips or scales",
    408: "The request was sent too slowly",
    413: "More bytes than the limit",
    422: "An image that cannot be decoded, or has more pixels than the limit",
    500: "The model failed",
    503: "More requests at a time than the limit",
    504: "The answer took too long",
}


def openapi(limits: Limits, score: float, score_threshold: float) -> dict[str, Any]:
    """Return the document; the limits stand in its texts, and below which score the model drops detections."""
    description = (
        f"At most {limits.num_bytes} bytes a request, {limits.pixels} pixels an image, {limits.queued} requests at a "
        f"time, {limits.seconds:g} seconds for sending and again for the answer."
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "detect", "version": __version__, "description": description},
        "paths": {
            "/predict": {"post": _operation("Detect on an image", _score(score, score_threshold), _detections())},
            "/explain": {"post": _operation("Explain a detection of an image", _rank(), _explanation())},
            "/health": {"get": {"summary": "The model and its classes", "responses": _ok({"type": "object"})}},
            "/metrics": {"get": {"summary": "Counts for Prometheus", "responses": {"200": {"description": "Text"}}}},
        },
    }


def _operation(summary: str, parameter: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    binary = {"type": "string", "format": "binary"}
    text = {"type": "string", "contentEncoding": "base64"}
    json_image = _object({"image": text})
    json_image["properties"]["name"] = {"type": "string", "description": "That the answer has as file"}
    error = {"application/json": {"schema": _object({"error": {"type": "string"}})}}
    content = {
        "image/*": {"schema": binary},
        "application/octet-stream": {"schema": binary},
        "multipart/form-data": {"schema": _object({"file": binary}) | {"additionalProperties": False}},
        "application/json": {"schema": json_image | {"additionalProperties": False}},
    }
    errors = {str(status): {"description": reason, "content": error} for status, reason in _ERRORS.items()}
    return {
        "summary": summary,
        "parameters": [parameter],
        "requestBody": {"required": True, "content": content},
        "responses": _ok(answer) | errors,
    }


def _score(default: float, threshold: float) -> dict[str, Any]:
    schema = {"type": "number", "minimum": 0, "maximum": 1, "default": default}
    description = f"Lowest score; the model drops detections that score less than {threshold:g}"
    return {"name": "score", "in": "query", "description": description, "schema": schema}


def _rank() -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 1, "default": 1}
    return {"name": "rank", "in": "query", "description": "Of the detection, 1 for the best", "schema": schema}


def _detections() -> dict[str, Any]:
    size = {"type": "array", "items": {"type": "integer"}, "description": "height, width"}
    mask = _object({"size": size, "counts": {"type": "string"}}) | {"description": "COCO's run lengths"}
    fields = {"box": _BOX, "label": {"type": "string"}, "score": {"type": "number"}}
    detection = _object(fields)
    detection["properties"]["mask"] = mask
    sides = {name: {"type": "integer"} for name in ("width", "height")}
    return _object({"file": {"type": "string"}, **sides, "detections": {"type": "array", "items": detection}})


def _explanation() -> dict[str, Any]:
    optional_box = _BOX | {"type": ["array", "null"]}
    return _object(
        {
            "rank": {"type": "integer"},
            "label": {"type": "string"},
            "score": {"type": "number"},
            "proposal": _BOX,
            "anchor": optional_box,
            "sentences": {"type": "array", "items": {"type": "string"}},
            "figure": {"type": ["string", "null"], "description": "A JPEG as data URI"},
        }
    )


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(properties)}


def _ok(schema: dict[str, Any]) -> dict[str, Any]:
    return {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}}
