"""Refusals of the REST API: HTTP status, Twilio's error code, message.

The functions below build the refusals that occur in several places.
Sources: https://www.twilio.com/docs/api/errors and https://www.twilio.com/docs/usage/twilios-response#errors
"""

Json = dict[str, object]

INVALID = 20001
UNAUTHENTICATED = 20003
METHOD_NOT_ALLOWED = 20004
PAGE_SIZE_TOO_LARGE = 20007
NOT_FOUND = 20404
GONE = 20410
PRECONDITION_FAILED = 20412


class ApiError(Exception):
    """A request that TaskRouter refuses.

    status: the HTTP status; code: Twilio's error code; message: the sentence in the response's JSON.
    """

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def invalid(message: str, code: int = INVALID) -> ApiError:
    """Return 400: an invalid parameter, or a resource in the wrong state (20001 unless another code is given)."""
    return ApiError(400, code, message)


def not_emulated(resource: str) -> ApiError:
    """Return 400 for what TaskRouter has and the emulator lacks, rather than doing something else silently."""
    return invalid(f"Not emulated: {resource}")


def not_found(resource: str) -> ApiError:
    """Return 404/20404: there is no such resource, or no longer."""
    return ApiError(404, NOT_FOUND, f"The requested resource {resource} was not found")


def gone(message: str) -> ApiError:
    """Return 410: the reservation was rescinded because another worker accepted the task."""
    return ApiError(410, GONE, message)


def precondition_failed() -> ApiError:
    """Return 412/20412: `If-Match` does not name the current version. Nothing was changed."""
    return ApiError(412, PRECONDITION_FAILED, "Precondition Failed: If-Match does not match the current version")


def code_of_status(status: int) -> int:
    """Return Twilio's general error code: 20429 for 429, 20503 for 503; those of 400, 401 and 405 are irregular."""
    irregular = {400: INVALID, 401: UNAUTHENTICATED, 405: METHOD_NOT_ALLOWED}
    return irregular.get(status, 20000 + status)


def error_body(status: int, code: int, message: str) -> Json:
    """Return the four members of every error response."""
    return {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
