"""Which fields hold something personal by their name, whatever their value looks like; pure."""

import re
from functools import lru_cache
from typing import Final

from forestall.privacy.finding import Kind

_FIELDS: Final[dict[Kind, str]] = {
    "token": (
        "access_key access_token api_key apikey api_token auth auth_token authorization "
        "client_secret cookie cvc cvv credentials csrf_token id_token jwt kennwort otp passphrase "
        "passcode passwd password passwort pin private_key pwd refresh_token reset_token secret "
        "secret_key session_cookie session_token set_cookie signing_secret tan token x_api_key"
    ),
    "email": "e_mail email email_address mail mail_address",
    "iban": "iban",
    "card": "card_number credit_card credit_card_number pan kartennummer",
    "phone": (
        "cell cell_phone fax handy handynummer mobile mobile_number mobile_phone msisdn phone "
        "phone_number tel telefon telefonnummer telephone telephone_number"
    ),
    "address": (
        "address1 address2 address_line address_line1 address_line2 address_line_1 address_line_2 "
        "adresse anschrift billing_address home_address postal_address shipping_address street "
        "street_address strasse lieferadresse rechnungsadresse"
    ),
    "ip": "client_ip ip ip_address remote_addr",
    "person": (
        "first_name firstname full_name fullname given_name family_name last_name lastname nachname "
        "surname vorname maiden_name geburtsname"
    ),
}
_KINDS = {name: kind for kind, names in _FIELDS.items() for name in names.split()}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\s.-]+")


@lru_cache(maxsize=4096)
def kind_of(name: str) -> Kind | None:
    """What a field of this name holds: ``accessToken``, ``access-token`` and ``ACCESS_TOKEN`` are
    one name, and so is its plural."""
    plain = _HUMP.sub("_", name).lower()
    return _KINDS.get(plain) or _KINDS.get(plain.removesuffix("s"))
