"""Demands: what nobody may ask of a customer in our name, and whom nobody may claim to be.

Credentials and card data, money sent elsewhere, talk elsewhere, foreign programs; a person, or
another company.
"""

import re

from forestall.intervene.agents.plain import readings, sentences

_PRIVATE = (
    r"(?:pass ?words?|pass ?codes?|pass ?phrase|passwor\w+|pins?\b|tans?\b|cvv\d?|cvc\d?|cv2|security code|(?:full )?card (?:number|details|data|info\w*)"
    r"|credit ?card\b|(?:one[ -]time|verification|login|sms|confirmation|authentication|access|2fa|unlock) (?:code|password|pin)|\botp\b|credentials?|log ?in (?:data|details)"
    r"|(?:bank|account|banking|payment) (?:details|data|number|information)|iban|social security|\bssn\b|maiden name|recovery (?:phrase|key|code)|seed phrase|private key"
    r"|api key|session (?:id|cookie|token)|cookies?\b|id card|passport|driver\W?s licen[cs]e|date of birth"
    r"|passwort\w*|kennwort\w*|geheimzahl|prufziffer|karten(?:nummer|daten|prufnummer)|kreditkarten?\w*|zugangsdaten|anmeldedaten|logindaten|sicherheitscode"
    r"|(?:einmal|bestatigungs|sms-?|frei ?schalt)(?:code|passwort|pin)|bankdaten|kontodaten|kontonummer|bankverbindung|ausweis\w*|geburtsdatum|sicherheitsfrage|codes? (?:aus|from|in) (?:der|the|your|ihrer) (?:sms|text|app|e-?mail))"
)
_HAND_OVER = (
    r"(?:send|sending|tell|telling|give|giving|share|message|provide|dictate|read (?:out|me|us)|text|e-?mail|forward|post|submit|supply|disclose|reveal|hand (?:over|us|me)|reply with|respond with|answer with|we(?: will)? need|i(?: will)? need|let (?:us|me) (?:know|have)|paste|drop"
    r"|sende\w*|schicke\w*|nenne\w*|teile\w*|gib\b(?!.{0,90}\bein\b)|geben sie(?!.{0,90}\bein\b)|gebt|verrate\w*|ubermittel\w*|antworte\w*|diktier\w*|mitteilen|durchgeben|(?:wir|ich) (?:brauche|benotige)\w*|wir fragen|we ask|asks? you for|verlange\w*)"
)
_DEMANDS = {
    "credentials": re.compile(
        rf"\b{_HAND_OVER}\b.{{0,70}}?{_PRIVATE}|{_PRIVATE}.{{0,40}}\b(?:in(?:to)? (?:this|the) chat|as (?:a|your) reply|to (?:us|me)\b|with (?:us|me)\b|an uns|mit uns|an mich|mitteilen|durchgeben|durchsagen|ubermitteln|schicken|senden|nennen|verraten)"
        rf"|\b(?:confirm|verify|validate) (?:your|the) (?:\w+ )?(?:password|pin\b|card number|card details|cvv|cvc|credentials|login|account number|bank details|social security)"
        rf"|\b(?:enter|type|put|write|fill in|leave|eingeben|geben|tippen|schreiben|tragen)\b.{{0,70}}?{_PRIVATE}.{{0,40}}\b(?:here|below|this chat|reply|message|hier|unten|diesem chat|antwort)\b"
        rf"|\b(?:here|below|in (?:this|your) (?:chat|reply|message)|hier|unten|im chat)\b.{{0,30}}\b(?:enter|type|put|write|eingeben|geben|schreiben)\b.{{0,40}}{_PRIVATE}"
        rf"|\bwhat(?: is|'s) your (?:\w+ )?{_PRIVATE}|\bwie (?:ist|lautet) (?:ihre?|deine?) {_PRIVATE}"
    ),
    "payment elsewhere": re.compile(
        r"\b(?:bitcoins?|btc|ethereum|usdt|tether|crypto\w*|western union|moneygram|cash ?app|venmo|zelle|paysafe\w*|friends and family|freunde und familie)\b"
        r"|\b(?:send|buy|read|give|scratch|kaufen|senden|schicken|nennen)\b.{0,40}(?:gift|steam|itunes|google play|amazon|prepaid|geschenk|guthaben)[ -]?(?:card|karte)\w*.{0,20}|(?:gift|geschenk|guthaben)[ -]?(?:card|karten?)[ -]?codes?"
        r"|\b(?:transfer|wire|pay|send|deposit|remit|uberweis\w*|zahl\w*|bezahl\w*|send\w*|schick\w*)\b.{0,60}\b(?:to|into|onto|auf|an)\b (?:\w+ ){0,2}?(?:this|the following|following|my|another|a different|a new|our new|new|our|diese\w*|folgende\w*|mein\w*|ein ander\w*|neue\w*|unser\w*|das neue|das folgende) (?:\w+ )?(?:account|konto|iban|wallet|person|card|adresse|address|bank\w*)"
        r"|\b(?:pay|settle|bezahl\w*|zahl\w*)\b.{0,40}\b(?:outside|off the|in cash to|außerhalb|ausserhalb|instead of in the shop)\b|\b(?:new|changed|neue|geanderte) (?:bank details|bankverbindung|payment details)\b"
    ),
    "contact elsewhere": re.compile(
        r"\b(?:whats ?app|telegram|signal|discord|wechat|viber|snapchat|skype|facebook messenger|threema|line app)\b.{0,40}\b(?:us|me|uns|mich|under|unter|at|to|group|gruppe|channel|kanal|at|user)\b"
        r"|\b(?:write|message|contact|reach|add|find|text|chat|talk|dm|join|schreib\w*|kontaktier\w*|erreich\w*|melde\w*)\b.{0,40}\b(?:on|via|over|uber|auf|per|bei)\b.{0,15}\b(?:whats ?app|telegram|signal|discord|wechat|viber|snapchat|skype|instagram|facebook|threema)\b"
        r"|\b(?:any ?desk|team ?viewer|quick ?support|rust ?desk|remote (?:access|control|desktop|session)|fernwartung|fernzugriff)\b"
        r"|\b(?:disable|turn off|deactivate|deaktivier\w*|schalte\w*)\b.{0,30}\b(?:antivirus|virus\w*|firewall|two-factor|2fa|zwei-faktor\w*)|\b(?:open|run|offnen|fuhren|paste)\b.{0,30}\b(?:terminal|console|konsole|powershell|command prompt|developer tools|eingabeaufforderung)\b"
    ),
    "pretence": re.compile(
        r"\b(?:i am|i'm|im|we are|we're|this is|here is|you are (?:talking|speaking|chatting) (?:to|with)) (?:\w+ )?(?:a |an |the |your )?(?:\w+ )?(?:human|real person|person\b|not a (?:bot|robot|machine|computer|program|ai)\b|no (?:bot|robot)|police|bank\b|tax office|lawyer|doctor|government|ceo|managing director|account manager)"
        r"|\b(?:not|no|kein|keine) (?:a )?(?:bot|robot|chatbot|machine|ki|maschine|roboter|automat)\b|\bmy name is \w+|\bmein name ist \w+|\bich heisse \w+"
        r"|\b(?:this is|i am|i'm|we are|here is|hier ist|hier spricht|ich bin|wir sind) (?:\w+ ){0,3}(?:from|at|of|with|von|bei|vom)(?: the| der| dem)? (?:paypal|microsoft|apple|google|amazon|visa|mastercard|police|polizei|(?:your |ihrer? )?(?:bank|sparkasse)|dhl|ups|fbi|interpol|irs|finanzamt)"
        r"|\b(?:ich bin|hier ist|sie sprechen mit|wir sind) (?:\w+ )?(?:ein |eine |der |die |einem |einer |ihre? )?(?:\w+ )?(?:mensch|menschen|echte person|echten person|polizei|finanzamt|anwalt|arzt|sachbearbeiter\w*|geschaftsfuhrer\w*)\b"
    ),
}
_NEVER = re.compile(
    r"\b(?:never|not|n't|don't|nobody|no one|nie|niemals|nicht|niemand|without)\b(?: (?:ever|please|have to|need to|be asked to|ask you to|ask|required to|going to|sie|uns|wird sie|bitten sie|uns je))*\s*$"
)
_NEVER_AFTER = re.compile(
    r"^.{0,40}?\b(?:nie|niemals|nicht|keine?n?|keinesfalls|auf keinen fall|never|to (?:anyone|anybody|nobody)|an niemanden)\b(?! (?:only|nur|sure|hesitate|zogern))"
)
_PRESSURE = re.compile(
    r"\b(?:sofort|bitte|jetzt|schnell|gleich|einfach)\b.{0,20}\b(?:freigeben|genehmigen|zustimmen)\b|"
    r"\b(?:approve|approver|reviewer|approval|genehmig\w*|freigabe|freigeben|freigegeben)\b.{0,60}\b(?:this|now|immediately|already|granted|given|without|not (?:needed|necessary|required)|skip\w*|urgent\w*|please|just|bitte|bereits|schon|sofort|ohne|nicht notig)\b"
    r"|\b(?:already|pre-?|bereits|schon|please|just|must|bitte|sofort) ?(?:been )?(?:approved?|authori[sz]ed|signed off|cleared|verified|confirmed by|genehmig\w*|freigegeben|autorisiert|geprüft|gepruft)\b"
    r"|\b(?:no need|not necessary|don't|do not|no time|unnecessary|nicht notig|brauchen? nicht)\b.{0,20}\b(?:check|verify|review|look|read|pruf\w*|anschau\w*|lesen)"
    r"|\b(?:ceo|director|head of|legal|management|your (?:boss|manager)|security team|geschaftsfuhr\w*|vorstand|chef\w*)\b.{0,40}\b(?:order\w*|approv\w*|wants?|said|says|instruct\w*|confirm\w*|demand\w*|allow\w*|signed|genehmig\w*|angeordnet|verlangt|will)\b"
    r"|\b(?:you (?:will|'ll) be (?:fired|blamed|responsible)|or else|last chance|click approve|press approve|disregard|ignore)\b"
)


def demanded(text: str) -> frozenset[str]:
    """The kinds of demands and pretences in a message."""
    found = set()
    for sentence in sentences(text):
        for plain in readings(sentence):
            for kind, pattern in _DEMANDS.items():
                if any(not _denied(kind, plain, one) for one in pattern.finditer(plain)):
                    found.add(kind)
    return frozenset(found)


def pressing(text: str) -> bool:
    """Whether words for our own people press them to approve or not to look."""
    return any(_PRESSURE.search(plain) for one in sentences(text) for plain in readings(one))


def _denied(kind: str, plain: str, found: re.Match[str]) -> bool:
    """Whether what was found is a warning: ``never send us your password``."""
    if kind != "credentials":
        return False
    if _NEVER.search(plain[: found.start()]):
        return True
    return re.match(
        r"(?:wir|sie|geben|sende|schicke|nenne|teile|verrate)", found[0]
    ) is not None and (_NEVER_AFTER.search(plain[found.start() :]) is not None)
