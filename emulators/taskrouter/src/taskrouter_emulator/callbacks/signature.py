"""Signatures of webhooks with form parameters.

Source: https://www.twilio.com/docs/usage/webhooks/webhooks-security
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit


def sign(url: str, parameters: Mapping[str, str], auth_token: str) -> str:
    """Return the value of `X-Twilio-Signature`: Base64 of the HMAC-SHA1 over URL and parameters.

    url: as configured; its fragment and credentials are not signed. parameters: signed in byte order of the names, each
    followed by its value, without separators.
    """
    signed = signed_url(url) + "".join(name + parameters[name] for name in sorted(parameters))
    digest = hmac.new(auth_token.encode(), signed.encode("utf-8", "surrogatepass"), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def signed_url(url: str) -> str:
    """Return the URL without fragment, user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
