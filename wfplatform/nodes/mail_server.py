"""The SMTP server by which workers send mail: where it is, how it is spoken to, and in whose name.

Known to the worker alone, from its environment (`WFP_SMTP_...`); an embedded platform sets that from its settings.
"""

from __future__ import annotations

import os
import re
import smtplib
import ssl
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Final, Self

from wfplatform.errors import SettingsError, UnreachableError, UserError
from wfplatform.nodes.message import one_line
from wfplatform.nodes.variable import masked

__all__ = ["MailServer", "is_address"]

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_LOCAL: Final = re.compile(rf"{_ATOM}(\.{_ATOM})*")
_DOMAIN: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """An SMTP server.

    Args:
        security: `starttls`, `tls` from the first byte on, or `none`.
        user: empty = without one.
        sender: the address in whose name is sent.
    """

    host: str
    port: int
    security: str
    sender: str
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls) -> Self:
        """As the environment of this worker says.

        Raises:
            SettingsError: it says too little, or what does not fit.
        """
        host, security = _said("HOST"), _said("SECURITY") or "starttls"
        user, password = _said("USER"), _said("PASSWORD")
        sender = _said("SENDER") or (user if "@" in user else "")
        if not host or not sender:
            missing = "WFP_SMTP_HOST" if not host else "WFP_SMTP_SENDER"
            raise SettingsError(
                "mail_not_set_up",
                f"No mail can be sent: {missing} is not set on this worker.",
                "Set the settings smtp_host and smtp_sender, or on workers elsewhere the environment variables "
                "WFP_SMTP_HOST and WFP_SMTP_SENDER.",
            )
        if security not in _PORTS:
            known = ", ".join(_PORTS)
            raise SettingsError("mail_security", f"WFP_SMTP_SECURITY: expected one of {known}, got {security!r}.")
        if user and security == "none":
            raise SettingsError(
                "mail_in_the_clear",
                "WFP_SMTP_USER is set and WFP_SMTP_SECURITY is none: the password would go out for anybody to read.",
                "Set WFP_SMTP_SECURITY to starttls or tls.",
            )
        if not is_address(sender):
            raise SettingsError(
                "mail_sender", f"WFP_SMTP_SENDER: expected an address as platform@example.org, got {sender!r}."
            )
        port = _said("PORT") or str(_PORTS[security])
        if not port.isdigit() or not 0 < int(port) < 65_536:
            raise SettingsError("mail_port", f"WFP_SMTP_PORT: expected a number from 1 to 65535, got {port!r}.")
        return cls(host=host, port=int(port), security=security, sender=sender, user=user, password=password)

    def send(self, message: EmailMessage, to: Sequence[str], *, timeout_s: float, secrets: Collection[str] = ()) -> int:
        """Send a message.

        Args:
            timeout_s: for each answer of the server.
            secrets: what must stand in no message.

        Returns:
            how many addresses the server took.

        Raises:
            UnreachableError: the server does not answer, or cannot take it now.
            UserError: it refuses it, and would do so again.
        """
        hidden = {*secrets, *filter(None, [self.password])}
        name = f"The mail server {self.host}:{self.port}"
        try:
            refused = self._sent(message, to, timeout_s)
        except smtplib.SMTPRecipientsRefused as error:
            code, text = min(error.recipients.values(), key=lambda answer: answer[0])
            raise _refusal(name, code, text, hidden) from None
        except smtplib.SMTPResponseException as error:
            raise _refusal(name, error.smtp_code, error.smtp_error, hidden) from None
        except smtplib.SMTPNotSupportedError as error:
            told = masked(one_line(str(error), 300), hidden)
            raise UserError("mail_refused", f"{name} cannot do what is asked: {told}") from None
        except ssl.SSLCertVerificationError as error:
            raise UserError(
                "mail_certificate", f"{name} shows a certificate that is not trusted: {error.verify_message}."
            ) from None
        except (OSError, smtplib.SMTPException) as error:
            told = masked(one_line(str(error), 300), hidden)
            raise UnreachableError(
                "mail_not_answered", f"{name} does not answer: {type(error).__name__}: {told}", "It is tried again."
            ) from None
        return len(to) - refused

    def _sent(self, message: EmailMessage, to: Sequence[str], timeout_s: float) -> int:
        context = ssl.create_default_context()
        if self.security == "tls":
            session: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=timeout_s, context=context)
        else:
            session = smtplib.SMTP(self.host, self.port, timeout=timeout_s)
        with session:
            if self.security == "starttls":
                session.starttls(context=context)
            if self.user:
                session.login(self.user, self.password)
            return len(session.send_message(message, from_addr=self.sender, to_addrs=list(to)))


def is_address(address: str) -> bool:
    """Whether a text is a plain mail address, of characters that can stand in a header."""
    local, at, domain = address.rpartition("@")
    fits = bool(at) and len(address) <= 254 and len(local) <= 64
    return fits and bool(_LOCAL.fullmatch(local) and _DOMAIN.fullmatch(domain))


def _said(name: str) -> str:
    return os.environ.get(f"WFP_SMTP_{name}", "").strip()


def _refusal(name: str, code: int, text: bytes | str, hidden: Collection[str]) -> UserError | UnreachableError:
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    message = f"{name} answered {code}: {masked(one_line(said, 300), hidden)}"
    if 400 <= code < 500 or code < 0:
        return UnreachableError("mail_not_accepted", message, "It is tried again.", status=code)
    return UserError("mail_refused", message, "See to the addresses, the user and the sender.", status=code)
