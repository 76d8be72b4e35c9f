"""Demands: what nobody may ask of a customer in our name, and whom nobody may claim to be.

Credentials and card data, money sent elsewhere, talk elsewhere, foreign programs; a person, or
another company.
"""

import re

from forestall.intervene.agents.plain import readings, sentences
from forestall.intervene.agents.promises import SUM

_PRIVATE = (
    r"(?:pass ?words?|pass ?codes?|pass ?phrase|passwor\w+|pins?\b|tans?\b|cvv\d?|cvc\d?|cv2|security code|(?:full )?card (?:number|details|data|info\w*)"
    r"|credit ?card\b|(?:one[ -]time|verification|login|sms|confirmation|authentication|access|2fa|unlock) (?:code|password|pin)|\botp\b|credentials?|log ?in (?:data|details)"
    r"|(?:bank|account|banking|payment) (?:details|data|number|information)|iban|social security|\bssn\b|(?:maiden|birth) name|mother'?s name|(?:three|3|cvv) (?:digits|numbers)|back of your card|(?:photo|picture|scan|copy) of (?:your|the) (?:\w+ )?(?:card|licen[cs]e|id)\b|recovery (?:phrase|key|code)|seed phrase|private key"
    r"|api key|session (?:id|cookie|token)|cookies?\b|id card|passport|driver\W?s licen[cs]e|date of birth"
    r"|(?:drei|3) (?:ziffern|stellen)|ruckseite ihrer (?:\w*karte)|(?:foto|kopie|bild|scan) (?:von )?(?:ihre\w*|der|des) (?:\w*karte|\w*ausweis\w*)|geburtsname\w*|madchenname\w*"
    r"|codes? (?:that|which|we|you|you've|we've)\b.{0,30}\b(?:sent|send|texted|got|get|received|receive)|code,? (?:den|der)\b.{0,40}\b(?:geschickt|gesendet|erhalten|bekommen)\w*"
    r"|passwort\w*|kennwort\w*|geheimzahl|prufziffer|karten(?:nummer|daten|prufnummer)|kreditkarten?\w*|zugangsdaten|anmeldedaten|logindaten|sicherheitscode"
    r"|(?:einmal|bestatigungs|sms-?|frei ?schalt)(?:code|passwort|pin)|bankdaten|kontodaten|kontonummer|bankverbindung|ausweis\w*|geburtsdatum|sicherheitsfrage|codes? (?:aus|from|in) (?:der|the|your|ihrer) (?:sms|text|app|e-?mail))"
)
_HAND_OVER = (
    r"(?:send|sending|tell|telling|give|giving|share|message|provide|dictate|read (?:out|me|us)|text|e-?mail|forward|post|submit|supply|disclose|reveal|hand (?:over|us|me)|reply with|respond with|answer with|we(?: will)? need|i(?: will)? need|let (?:us|me) (?:know|have)|paste|drop"
    r"|sende\w*|schicke\w*|nenne\w*|teile\w*|gib\b(?!.{0,90}\bein\b)|geben sie(?!.{0,90}\bein\b)|gebt|verrate\w*|ubermittel\w*|antworte\w*|diktier\w*|mitteilen|durchgeben|(?:wir|ich) (?:brauche|benotige)\w*|wir fragen|we ask|asks? you for|verlange\w*)"
)
_PLACE = r"\[(?:email|phone|iban|card)-\d+\]"
"""The customer's own data, where they would be led to: a field of an event could be anybody's."""
_NOUN_AFTER = ("the", "an", "a", "your", "our", "this", "that", "die", "eine", "der", "ihre")
_NO_NOUN = "".join(rf"(?<!\b{one} )" for one in _NOUN_AFTER)
_OWN_DOING = re.compile(r"\b(?:we|i|wir|ich|our \w+)\b[^.]{0,20}$")
_DEMANDS = {
    "credentials": re.compile(
        rf"\b{_HAND_OVER}\b.{{0,70}}?{_PRIVATE}|{_PRIVATE}.{{0,40}}\b(?:in(?:to)? (?:this|the) chat|as (?:a|your) reply|to (?:us|me)\b|with (?:us|me)\b|an uns|mit uns|an mich|mitteilen|durchgeben|durchsagen|ubermitteln|schicken|senden|nennen|verraten)"
        rf"|\b(?:confirm|verify|validate) (?:your|the) (?:\w+ )?(?:password|pin\b|card number|card details|cvv|cvc|credentials|login|account number|bank details|social security)"
        rf"|\bgeben sie (?:bitte )?(?:hier|unten|im chat)\b.{{0,30}}?{_PRIVATE}"
        rf"|\b(?:enter|type|put|write|fill in|leave|eingeben|geben|tippen|schreiben|tragen)\b.{{0,70}}?{_PRIVATE}.{{0,40}}\b(?:here|below|this chat|reply|message|hier|unten|diesem chat|antwort)\b"
        rf"|\b(?:here|below|in (?:this|your) (?:chat|reply|message)|hier|unten|im chat)\b.{{0,30}}\b(?:enter|type|put|write|eingeben|geben|schreiben)\b.{{0,40}}{_PRIVATE}"
        rf"|\bwhat(?: is|'s| are) (?:your|the) (?:\w+ )?{_PRIVATE}(?! (?:policy|field|page|for\b))|\bwie (?:ist|lautet|lauten) (?:ihre?|deine?|das|die|der) {_PRIVATE}|\bexpiry date\b.{{0,10}}\?"
    ),
    "payment elsewhere": re.compile(
        r"\b(?:bitcoins?|btc|ethereum|usdt|tether|crypto\w*|western union|moneygram|cash ?app|venmo|zelle|paysafe\w*|friends and family|freunde und familie)\b"
        r"|\b(?:send|buy|read|give|scratch|kaufen|senden|schicken|nennen)\b.{0,40}(?:gift|steam|itunes|google play|amazon|prepaid|geschenk|guthaben)[ -]?(?:card|karte)\w*.{0,20}|(?:gift|geschenk|guthaben)[ -]?(?:card|karten?)[ -]?codes?"
        r"|\b(?:transfer|wire|pay|send|deposit|remit|uberweis\w*|zahl\w*|bezahl\w*|send\w*|schick\w*)\b.{0,60}\b(?:to|into|onto|auf|an)\b (?:\w+ ){0,2}?(?:this|the following|following|my|another|a different|a new|our new|new|our|diese\w*|folgende\w*|mein\w*|ein ander\w*|neue\w*|unser\w*|das neue|das folgende) (?:\w+ )?(?:account|konto|iban|wallet|person|card|adresse|address|bank\w*)"
        rf"|\b(?:pay|send|transfer|deposit|zahlen|bezahlen|uberweis\w*|entricht\w*)\b.{{0,40}}{SUM}.{{0,40}}\b(?:(?:first|before|so that|in order)\b|to (?:release|unlock|activate|receive|get|free|confirm|verify)|zur (?:freischaltung|freigabe|bestatigung|aktivierung|verifizierung)|damit|vorab)"
        r"|\b(?:release|unlock\w*|activation|verification|clearance) fee\b|\b(?:freischalt|aktivierungs|freigabe)\w*gebuhr|\b(?:iban|account|wallet|konto) (?:of|von|des|der) (?:our|my|a|unser\w*|mein\w*|ein\w*)\b|\bmove (?:your|the|all) (?:\w+ )?(?:money|funds|savings)\b|\binvest in\b"
        r"|\b(?:pay|settle|bezahl\w*|zahl\w*)\b.{0,40}\b(?:outside|off the|in cash to|außerhalb|ausserhalb|instead of in the shop)\b|\b(?:new|changed|neue|geanderte) (?:bank details|bankverbindung|payment details)\b"
    ),
    "contact elsewhere": re.compile(
        r"\b(?:whats ?app|telegram|signal|discord|wechat|viber|snapchat|skype|facebook messenger|threema|line app)\b.{0,40}\b(?:us|me|uns|mich|under|unter|at|to|group|gruppe|channel|kanal|at|user)\b"
        r"|\b(?:write|message|contact|reach|add|find|text|chat|talk|dm|join|schreib\w*|kontaktier\w*|erreich\w*|melde\w*)\b.{0,40}\b(?:on|via|over|uber|auf|per|bei)\b.{0,15}\b(?:whats ?app|telegram|signal|discord|wechat|viber|snapchat|skype|instagram|facebook|threema)\b"
        r"|\b(?:any ?desk|team ?viewer|quick ?support|rust ?desk|remote (?:access|control|desktop|session)|fernwartung|fernzugriff|screen[ -]?shar\w*|shar\w* your screen|bildschirmfreigabe|bildschirm (?:teilen|freigeben))\b"
        r"|\b(?:search engine|suchmaschine|first (?:search )?(?:result|hit)|erste\w* treffer)\b|\b(?:search for|google|googeln sie|suchen sie)\b.{0,60}\b(?:portal|log ?in|sign in|open the first|anmelden)\b"
        r"|\b(?:download|install|laden|installieren)\b.{0,60}\b(?:sign in|log ?in|melden sie sich|anmelden)\b|\binstall \w+ from\b|\b(?:download|install) (?:the|our|this) (?:\w+ )?(?:app|tool|program|extension) (?!to\b|from the|again|and)\w+"
        rf"|(?<![\w-]){_NO_NOUN}(?:write|mail|e-?mail|contact|call|ring|phone|text|message|reach(?: us)?|transfer|pay|wire|rufen|schreiben|wenden|melden|uberweisen|kontaktieren|zahlen|mailen)\b(?: (?!from\b|von\b)\w+){{0,5}} {_PLACE}"
        r"|\b(?:disable|turn off|deactivate|deaktivier\w*|schalte\w*)\b.{0,30}\b(?:antivirus|virus\w*|firewall|two-factor|2fa|zwei-faktor\w*)|\b(?:open|run|offnen|fuhren|paste)\b.{0,30}\b(?:terminal|console|konsole|powershell|command prompt|developer tools|eingabeaufforderung)\b"
    ),
    "secrecy": re.compile(
        r"\b(?:tell|inform|sagen sie|erzahlen sie)\b.{0,20}\b(?:nobody|no one|niemand\w*)\b|\b(?:don't|do not|never) (?:tell|inform|ask|call|contact) (?:your|the|any) (?:bank|family|police|wife|husband|parents|colleague\w*)"
        r"|\bkeep (?:this|it) (?:secret|between us|to yourself)|\b(?:delete|erase) this (?:message|mail|e-mail|chat)|\bloschen sie diese (?:nachricht|mail|e-mail)|\b(?:bleibt|behalten sie) (?:das )?(?:unter uns|fur sich)|\bignore .{0,20}\bwarnings?\b|\bignorieren sie .{0,20}\bwarnung\w*"
    ),
    "threat": re.compile(
        r"\b(?:if you (?:do not|don't|refuse)|wenn sie nicht|otherwise|or else|sonst|andernfalls)\b.{0,80}\b(?:police|court|su(?:e|ed)\b|lawsuit|prosecut\w*|jail|arrest\w*|reported|polizei|gericht|anzeige|verklag\w*|inkasso|debt collect\w*)"
        r"|\bwe (?:have |will |'ll )?(?:reported?|sue|prosecute|arrest)(?:ed)? you\b|\byou(?:'re| are) (?:a |an |so |such an? )?(?:\w+ )?(?:stupid|idiot\w*|moron|thief|liar|fraud|scammer|criminal|dumb|fool|worthless)\b|\bsie sind (?:ein |eine |so |ja )?(?:\w+ )?(?:dumm|idiot\w*|dieb\w*|lugner\w*|betruger\w*|blod)\b|\bkill yourself\b|\bshut up\b"
        r"|\b(?:wir|we)(?:'ll| will)? (?:sperren|close|block|lock|delete|loschen|kundigen) (?:ihr\w*|your|the) (?:konto|account|vertrag|contract),? (?:wenn|if|unless|sofern|falls)\b|\byour account (?:is|will be|gets) (?:closed|deleted|blocked|suspended) (?:if|unless|and the police)"
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
_APPROVAL = re.compile(
    r"\b(?:approv\w*|authori[sz]\w*|signed|sign (?:here|off|this)|genehmig\w*|freigab\w*|freigeb\w*|freigegeben|zugestimmt|zustimm\w*|abgenickt|abgesegnet|bewilligt)\b"
)
_BANKING = re.compile(
    r"\b(?:bank\w*|payments?|cards?|issuers?|transactions?|charges?|3-?d|secure|zahlung\w*|\w*karte\w*|buchung\w*|login|header|http|api|token|returns?|whether|ob)\b"
)
_ORDERED = re.compile(
    r"\b(?:press|click|say|choose|tap|hit) (?:yes|ok|accept|confirm|approve)\b|\baccept (?:this|it|quickly|now|at once)|\bif you accept\b|\b(?:be|act|decide) (?:quick|fast|quickly)\b|\bsaid yes\b|\bhas verified this\b|\bno (?:second |further |more |other )?(?:check|review|risk)\b.{0,20}(?:necessary|needed|required|approve|,|$)|\bungesehen\b|\beveryone agrees\b"
    r"|^(?:please |now |so |then |system: |note: )*(?:refund|reimburse|pay|transfer|wire|credit|grant|give|run|execute|delete|disable|bypass|skip)\b(?! (?:is|was|has|request\w*|fail\w*|button|status|page|method|of|for|and|process\w*|policy|not|(?:\w+ ){1,2}a (?:person|call))\b)|\bplease (?:reset|unlock|give|grant|pay|refund|credit|transfer|run)\b|\b(?:sudo|rm -rf|curl|wget|drop table)\b|\badmin(?:istrator)? rights\b"
    r"|^bitte\b.{0,60}\b(?:uberweisen|erstatten|auszahlen|gutschreiben|freischalten|loschen|zurucksetzen|erlassen)\b|^\|.*\|$"
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
    """Whether words for our own people press them to approve or not to look, speak of an approval
    (of anything but a payment, which banks approve), or order them to do what needs one."""
    return any(
        _PRESSURE.search(plain)
        or _ORDERED.search(plain)
        or (_APPROVAL.search(plain) and not _BANKING.search(plain))
        for one in sentences(text)
        for plain in readings(one)
    )


def _denied(kind: str, plain: str, found: re.Match[str]) -> bool:
    """Whether what was found is a warning: ``never send us your password``."""
    if kind == "contact elsewhere":
        return found[0].endswith("]") and _OWN_DOING.search(plain[: found.start()]) is not None
    if kind != "credentials":
        return False
    if _NEVER.search(plain[: found.start()]):
        return True
    return re.match(
        r"(?:wir|sie|geben|sende|schicke|nenne|teile|verrate)", found[0]
    ) is not None and (_NEVER_AFTER.search(plain[found.start() :]) is not None)
