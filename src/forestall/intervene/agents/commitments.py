"""Commitments: what we say that we do or will do, and what the customer is to get, in any words.

Promises have too many words to look for all of them. So we may only say of ourselves that we do what
support does in conversation: look, check, send a message, explain. Any other verb commits us.
"""

import re

_FILLERS = r"(?: (?:also|just|now|still|already|then|soon|gladly|happily|of course|\w+ly|like to|love to|going to|happy to|glad to|able to|about to))*"
_WE = re.compile(
    rf"\b(?:we|i|our team|my colleagues?|our (?:staff|people|support))"
    rf"(?:'ll|'ve|'re|'m|'d| will| have| has| had| are| am| is| was| were| can| could| would| should| shall| do| did)?{_FILLERS} (\w+)"
)
_GET = re.compile(
    r"\b(?:you|your \w+)(?:'ll| will| shall| can)?(?: (?:also|soon|now|then))? (?:get|gets|receive|receives|earn|earns|gain|win)\b"
    r"(?!.{0,40}\b(?:e-?mail|mail|message|code|link|invoice|receipt|confirmation|notification|text|answer|reply|number|letter|error|warning|list|page|it when)\b)"
)
_OFFERED = re.compile(
    r"\b(?:is|are|be|as) (?:a |an |your )?(?:\w+ )?(?:present|gift|bonus|settled|paid off|yours|taken care of)\b|let (?:\w+ )?off\b|\bbonus\b|\bwill be paid\b(?! (?:by|in|with|for)\b)|\b(?:something|extra|surprise|present|gift)\b.{0,30}\b(?:account|inbox|wallet|parcel|cart)\b|\b(?:our|unserer) (?:own )?(?:pocket|tasche)\b|ausgezahlt|\bkeep the (?:item|product|goods|article)|behalten und|\b(?:no|without an) invoice\b|\bkeine rechnung\b|uberraschung|something for you"
)
_SAID = """
a accept accepted advise afraid agree answer answered apologise apologize appreciate ask
asked asking at aware been believe blocked booked call can cancel cancelled cannot
changed charged check checked checking closed compared confirm confirmed contacted
corrected counted deleted deliver delivered describe described detected don doubt expect
expected explain explained find fixed follow followed forward forwarded found glad got
grateful guess had has help helped here hope in inform informed investigate investigated
investigating it keep kept knew know learned learnt let list listed look looked looking
made matched may mean meant meet mention mentioned might moved must need never no not note noted
log logged escalate escalated flag flagged notice noticed offer on open opened packed pass passed passing pleased prefer process
processed read reading realise realize receive received recognised recognized recommend
record recorded registered regret reissued removed renewed reopened repeated reported
reproduced require resent reset restarted review reviewed reviewing saved saw searched
see seeing seen send sending sent set ship shipped show showed shown shows solve solved
sorry speak spoke started store stored suggest support switched talk talked tell test
tested testing thank there think thought to told tried try trying turned unable
understand understood unlocked update updated use used verified wait waiting want wish
with wonder work working write written wrote
"""
_SAID_OF_US = frozenset(_SAID.split())
"""Verbs that we may have in English."""

_WIR = re.compile(
    r"\b(?:wir|ich) (?:(?:werden|haben|habe|konnen|kann|mochten|wollen|sind|bin|durfen)\b[^,.;:!?]*?)?(\w+)(?=$|[,.;:!?]| und | aber | um )"
    r"|\b(?:wir|ich) (?!werden|haben|habe|konnen|kann|mochten|wollen|sind|bin|durfen)(\w+)|\b(\w+(?:en|e)) (?:wir|ich)\b"
)
_BEKOMMEN = re.compile(
    r"\b(?:sie (?:\w+ ){0,2}(?:bekommen|erhalten|kriegen)|(?:bekommen|erhalten|kriegen) sie)\b"
    r"(?!.{0,60}\b(?:e-?mail|mail|nachricht|code|link|rechnung|beleg|bestatigung|benachrichtigung|antwort|nummer|brief|fehler\w*|meldung|hinweis)\b)"
)
_GESAGT = re.compile(
    r"(?:seh|schau|pruf|frag|brauch|benotig|empfehl|rat|versteh|wiss|weiss|kenn|speicher|zeig|nenn"
    r"|melde|schreib|schick|send|sandt|geschickt|gesandt|gesendet|erklar|bitt|bedauer|hoff|denk"
    r"|glaub|bemerk|geand|ander|aktualis|korrigier|behoben|beheb|zuruckgesetzt|gestart|geoff"
    r"|geschloss|behalt|sag|teil|inform|antwort|beantwort|helf|hilf|geholf|versuch|arbeit"
    r"|untersuch|hatt|hab|konn|kann|mocht|woll|muss|soll|durf|werd|wurd|erhalt|bekomm|erhielt"
    r"|bekam|gelesen|les|find|gefund|fand|weitergegeben|weitergeleitet|gesehen|verarbeit"
    r"|gebucht|gesperrt|entsperrt|bestatig|registrier|liefer|versend|verschick|akzeptier|nehm"
    r"|festgestellt|stell|leit|fuhr|bewahr|aufbewahr|ubergeb|gelost|los|gepruf|gepr|schlag"
    r"|vorschlag|gebet|geschrieb|wart|gewart|test|getest|gefrag|verglich|vergleich|garantier"
    r"|nachgesehen|nachgeschaut|angeseh|angeschaut|gespeichert|reproduzier|gemeldet|kontaktier"
    r"|such|gesuch|spreche|gesproch|verwend|benutz|nutz|uberpruf|nachfrag|nachgefrag|nachpruf"
    r"|nachschau|nachseh|anseh|anschau|einseh|eintrag|eingetrag|angepass|anpass|ubermittel"
    r"|anfrag|angefrag|einricht|eingericht|umstell|umgestell|angeleg|ausgestell|ausprobier"
    r"|ermittel|notier|vermerk|hinterleg|erreich|verfolg|einstell|eingestell|angezeig|anzeig"
    r"|ausgewert|ausfindig|erkenn|erkannt|vermut|verstand|erfahr|zustandig|da\b|aus\b|nun\b|also\b"
    r"|(?:bin|sind|war|auch|gern|jetzt|noch|gerade|schon|sehr|zum|mit|in|im|an|auf|das|den|dem|der"
    r"|dass|es|sie|ihnen|um|nach|von|fur|uber|nicht|leider|ein|eine|einen|keine|die|meine"
    r"|unsere|ihre|diese|alle|heute|dank)\b)"
)
"""What verbs that we may have begin with in German, and what is no verb."""


def commits(plain: str) -> bool:
    """Whether a folded sentence commits us to something beyond what support says and does."""
    if _GET.search(plain) or _OFFERED.search(plain) or _BEKOMMEN.search(plain):
        return True
    if any(found[1] not in _SAID_OF_US for found in _WE.finditer(plain)):
        return True
    german = (found[1] or found[2] or found[3] for found in _WIR.finditer(plain))
    return any(_GESAGT.match(verb) is None for verb in german)
