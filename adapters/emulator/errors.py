"""The errors that the API answers, in OpenAI's envelope and words."""

from types import NoneType
from typing import Final

from attrs import define

_JSON_TYPES: Final[dict[type, str]] = {
    NoneType: "null",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    str: "a string",
    list: "an array",
}
_SHOWN_OF_KEY: Final = 12


@define
class ApiError(Exception):
    """A request that is answered with an error envelope."""

    status: int
    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None

    def envelope(self) -> dict[str, object]:
        """Return the JSON body; all four keys are always present."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


def incorrect_key(key: str) -> ApiError:
    """Return the 401 for a key that is blank or known to be bad."""
    return ApiError(
        401,
        f"Incorrect API key provided: {_masked(key)}. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        code="invalid_api_key",
    )


def no_such_file(file_id: str) -> ApiError:
    """Return the 404 of the file endpoints."""
    return ApiError(404, f"No such File object: {file_id}", param="id")


def no_such_batch(batch_id: str) -> ApiError:
    """Return the 404 of the batch endpoints."""
    return ApiError(404, f"No batch found with id '{batch_id}'.")


def cannot_cancel(status: str) -> ApiError:
    """Return the 409 for a batch that has already ended."""
    return ApiError(409, f"Cannot cancel a batch with status '{status}'.")


def missing_parameter(name: str) -> ApiError:
    """Return the 400 for a required field that is absent."""
    return ApiError(
        400,
        f"Missing required parameter: '{name}'.",
        param=name,
        code="missing_required_parameter",
    )


def invalid_value(name: str, value: object, supported: list[str]) -> ApiError:
    """Return the 400 for a value outside its list."""
    quoted = [f"'{each}'" for each in supported]
    listed = quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])}, and {quoted[-1]}"
    return ApiError(
        400,
        f"Invalid value: '{value}'. Supported values are: {listed}.",
        param=name,
        code="invalid_value",
    )


def invalid_type(name: str, value: object, expected: str) -> ApiError:
    """Return the 400 for a value of the wrong JSON type; `expected` carries its article."""
    return ApiError(
        400,
        f"Invalid type for '{name}': expected {expected}, but got {_json_type(value)} instead.",
        param=name,
        code="invalid_type",
    )


def file_not_visible(file_id: str, project: str) -> ApiError:
    """Return the synchronous 400 that OpenAI gave in 2024 for an input file it cannot find."""
    return ApiError(
        400,
        f"Cannot find file {file_id}, or project {project} does not have access to it.",
        param="file_id",
    )


def out_of_range(name: str, value: int, least: int, most: int) -> ApiError:
    """Return the 400 for a number outside its range."""
    return ApiError(
        400,
        f"Invalid '{name}': expected a value between {least} and {most}, but got {value} instead.",
        param=name,
        code="integer_above_max_value" if value > most else "integer_below_min_value",
    )


def below_minimum(name: str, value: int, least: int) -> ApiError:
    """Return the 400 for a number that is too small."""
    return ApiError(
        400,
        f"Invalid '{name}': integer below minimum value. "
        f"Expected a value >= {least}, but got {value} instead.",
        param=name,
        code="integer_below_min_value",
    )


def invalid_schema(name: str, reason: str) -> ApiError:
    """Return the 400 for a JSON schema that cannot be used; the reason is in words of ours."""
    return ApiError(
        400, f"Invalid schema for '{name}': {reason}.", param=name, code="invalid_json_schema"
    )


def too_long(name: str, length: int, most: int) -> ApiError:
    """Return the 400 for a string that is too long."""
    return ApiError(
        400,
        f"Invalid '{name}': string too long. Expected a string with maximum length {most}, "
        f"but got a string with length {length} instead.",
        param=name,
        code="string_above_max_length",
    )


def too_many_properties(name: str, count: int, most: int) -> ApiError:
    """Return the 400 for an object with too many keys."""
    return ApiError(
        400,
        f"Invalid '{name}': too many properties. Expected an object with at most {most} "
        f"properties, but got an object with {count} properties instead.",
        param=name,
        code="object_above_max_properties",
    )


def wrong_purpose(purpose: str) -> ApiError:
    """Return the 400 for an input file that is not a batch file; OpenAI's words are not known."""
    return ApiError(
        400,
        f"Invalid input file: expected purpose 'batch', but got '{purpose}'.",
        param="input_file_id",
        code="invalid_value",
    )


def rate_limited() -> ApiError:
    """Return a 429."""
    return ApiError(
        429,
        "Rate limit reached for requests. Please slow down.",
        type="requests",
        code="rate_limit_exceeded",
    )


def unavailable() -> ApiError:
    """Return a 503."""
    return ApiError(
        503, "The server is currently overloaded. Please try again later.", type="server_error"
    )


def _masked(key: str) -> str:
    return f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > _SHOWN_OF_KEY else key


def _json_type(value: object) -> str:
    return _JSON_TYPES.get(type(value), "an object")
