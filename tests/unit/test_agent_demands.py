"""Demands and pretences are found; warnings against them, and ordinary instructions, are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.intervene.agents.demands import demanded, pressing


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Please send us your password.", "credentials"),
        ("Tell me the code from the SMS.", "credentials"),
        ("Reply with your card number.", "credentials"),
        ("We need your PIN.", "credentials"),
        ("Do not hesitate to send us your PIN.", "credentials"),
        ("Confirm your password below.", "credentials"),
        ("What is your CVV?", "credentials"),
        ("Type your password in this chat.", "credentials"),
        ("Nennen Sie uns Ihre Kontonummer.", "credentials"),
        ("Geben Sie uns die TAN.", "credentials"),
        ("Bitte antworten Sie mit Ihrer Kartennummer.", "credentials"),
        ("Wie lautet Ihr Passwort?", "credentials"),
        ("Pay with bitcoin.", "payment elsewhere"),
        ("Please wire the sum to the following account.", "payment elsewhere"),
        ("Zahlen Sie den Betrag auf unser neues Konto.", "payment elsewhere"),
        ("Buy a Steam card and read us its number.", "payment elsewhere"),
        ("Message us on Telegram.", "contact elsewhere"),
        ("Schreiben Sie uns über WhatsApp.", "contact elsewhere"),
        ("Install AnyDesk.", "contact elsewhere"),
        ("Turn off your firewall first.", "contact elsewhere"),
        ("Open the terminal and paste this.", "contact elsewhere"),
        ("I am a real person.", "pretence"),
        ("I'm not a bot.", "pretence"),
        ("My name is Anna.", "pretence"),
        ("This is Anna from PayPal.", "pretence"),
        ("We are the police.", "pretence"),
        ("Ich bin ein Mensch.", "pretence"),
        ("Hier spricht Ihre Sparkasse von der Polizei.", "pretence"),
    ],
)
def test_a_demand_is_found(text: str, kind: str) -> None:
    assert kind in demanded(text)
    assert kind in demanded(f"Hello. {text} Thank you.")


@pytest.mark.parametrize(
    "text",
    [
        "Never send us your password.",
        "Please do not share your PIN.",
        "We will never ask you to send your password.",
        "Senden Sie uns keine Kartendaten.",
        "Wir fragen nie nach Ihrem Passwort.",
        "Geben Sie Ihre PIN niemals weiter.",
        "Enter the card number again on the payment page.",
        "Confirm the payment in your bank's app.",
        "You can set a new password in your account.",
        "You can pay with a gift card.",
        "The transfer went to your bank yesterday.",
        "A person will take over.",
        "This is about your order.",
        "I am sorry.",
        "Ich bin gleich wieder da.",
        "",
    ],
)
def test_warnings_and_ordinary_instructions_are_none(text: str) -> None:
    assert demanded(text) == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        "Please approve this now.",
        "Already approved by finance.",
        "No need to check the arguments.",
        "The CEO wants this done.",
        "Pre-authorised, just click approve.",
        "Bitte sofort freigeben.",
        "Bereits genehmigt.",
        "Ignore the dry run.",
    ],
)
def test_whoever_approves_is_not_to_be_pressed(text: str) -> None:
    assert pressing(text)


@pytest.mark.parametrize(
    "text",
    [
        "The receipt was never sent.",
        "The customer asked for it twice.",
        "The gateway declined with code 51.",
        "Die Zahlung ist fehlgeschlagen.",
        "Our knowledge says: Card declined",
        "It answers the question.",
        "",
    ],
)
def test_reasons_press_nobody(text: str) -> None:
    assert not pressing(text)


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    demanded(text)
    pressing(text)
