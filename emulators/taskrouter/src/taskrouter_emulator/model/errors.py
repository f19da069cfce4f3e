"""What TaskRouter refuses over REST, as the status and the error code that it answers with.

One exception, `ApiError`, carries both; the functions below are the refusals that occur in more than one place.
Sources: https://www.twilio.com/docs/api/errors and https://www.twilio.com/docs/usage/twilios-response#errors
"""

INVALID = 20001
UNAUTHENTICATED = 20003
METHOD_NOT_ALLOWED = 20004
PAGE_SIZE_TOO_LARGE = 20007
NOT_FOUND = 20404
GONE = 20410
PRECONDITION_FAILED = 20412


class ApiError(Exception):
    """A request that TaskRouter refuses.

    status: the HTTP status; code: Twilio's error code; message: the sentence that stands in the answer's JSON.
    """

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def invalid(message: str, code: int = INVALID) -> ApiError:
    """400: a parameter is wrong, or the resource is in the wrong state for it (20001 unless a code says more)."""
    return ApiError(400, code, message)


def not_emulated(what: str) -> ApiError:
    """400: TaskRouter knows this, the emulator does not. Said aloud instead of doing something else in silence."""
    return invalid(f"Not emulated: {what}")


def not_found(what: str) -> ApiError:
    """404/20404: there is no such resource, or no longer."""
    return ApiError(404, NOT_FOUND, f"The requested resource {what} was not found")


def gone(message: str) -> ApiError:
    """410: the reservation was rescinded because another worker accepted the task."""
    return ApiError(410, GONE, message)


def precondition_failed() -> ApiError:
    """412/20412: `If-Match` names another version than the current one. Nothing was changed."""
    return ApiError(412, PRECONDITION_FAILED, "Precondition Failed: If-Match does not match the current version")


def code_of_status(status: int) -> int:
    """Twilio's general error code for an HTTP status: 20429 for 429, 20503 for 503; 400, 401 and 405 are irregular."""
    irregular = {400: INVALID, 401: UNAUTHENTICATED, 405: METHOD_NOT_ALLOWED}
    return irregular.get(status, 20000 + status)
