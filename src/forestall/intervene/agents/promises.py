"""Promises: what a message says the customer will get, or need not do, by kind; English and German.

Words are what can be looked for, so a promise is looked for broadly: a sentence that speaks of a
refund makes one, unless it plainly speaks about the rules, or says no. Who wants to promise is
granted the kind, or quotes the customer's part of a runbook.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from forestall.intervene.agents.commitments import commits
from forestall.intervene.agents.plain import folded, readings, sentences, words

KINDS = (
    "refund",
    "credit",
    "discount",
    "compensation",
    "waiver",
    "guarantee",
    "deadline",
    "free",
)

SUM = (
    r"(?:[€$£]\s?\d[\d.,]*|\d[\d.,]*\s?(?:€|\$|£|(?:eur|euros?|usd|dollars?|pounds?|gbp|chf|franken|bucks)\b)"
    r"|\b(?:five|ten|twenty|thirty|forty|fifty|hundred|thousand|funf|zehn|zwanzig|dreissig|funfzig|hundert|tausend)\W(?:euros?|dollars|pounds|pfund|franken)\b)"
)
"""A sum of money, as a pattern for folded text."""
_GIVE = r"(?:give|send|grant|pay|transfer|offer|wire|hand|add|get|put)\w*"
_GIFT = r"(?:geben|schenken|senden|schicken|zahlen|uberweisen|gewahren|bieten|legen|erhalten|bekommen|kriegen)"
_TELLS = (
    r"(?! (?:not|never|see|saw|seen|receiv\w+|got|look\w*|check\w*|found|find|know|understand|need|show\w*|sent|send you the (?:invoice|receipt|bill)|charged|"
    r"stor\w+|read|explain\w*|cannot|can't|asked|noticed|booked|list\w*|calculat\w*|no longer|hope|think|believe|sorry)\b)(?!'t)"
)
_DUES = r"(?:fees?|charges?|costs?|debts?|invoices?|bills?|balance|payments?|penalt\w+|interest)"
_GERMAN_DUES = (
    r"(?:gebuhr\w*|rechnung\w*|kosten|schuld\w*|betrag|zinsen|mahn\w*|forderung\w*|zahlung\w*)"
)


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


_SPOKEN = {
    "refund": _any(
        r"refund|reimburs|cash ?back|rembours|reembols|rimbors|terugbetal|zwrot pieni|devolver\w* (?:el|su)",
        r"money[ -]?back|back (?:all |in full |every \w+ )?(?:your|the|that|of your) (?:money|payment|cash|funds|amount)",
        r"(?:pay|paid|paying|give|giving|send|sending|transfer|wire|get|gets|getting|receive|have|return\w*|put|hand)\b"
        r".{0,40}\b(?:money|payment|cash|funds|amount|sum|price|spent|paid|penny|cent|everything|it all|"
        r"€|\$|£|eur|euros?|dollars?)\b.{0,30}\bback\b",
        r"(?:pay|paid|paying) (?:you|it|that|them|this|everything|all) (?:all )?back|(?:pay|paid) (?:it )?back to you|repay|repaid",
        r"(?:return|restor|revers|undo)\w*.{0,25}\b(?:money|payment|charge|amount|funds|transaction|debit)",
        r"(?:money|payment|charge|amount|funds).{0,30}\b(?:returned|reversed|restored|sent back|comes? back|on (?:its|the) way back)",
        r"(?:money|amount|sum|funds|payment|price|cash)\b.{0,40}\b(?:goes|comes|go|come|be|is|are|find its way|lands?|arrives?|appears?)\b.{0,20}\b(?:back|again|in your account|on your (?:card|account))",
        r"(?:see|find|have|get|getting)\b.{0,20}\b(?:money|amount|sum|funds|price)\b.{0,30}\b(?:again|back|account|card)\b|back (?:to|on|in|onto) your (?:card|account|bank|wallet)",
        r"(?:return|hand|send|give)\w*.{0,25}\b(?:purchase price|price|sum)\b|(?:geld|betrag|summe).{0,40}\b(?:wieder|zuruck|unterwegs|auf ihre[mr]? (?:konto|karte))\b",
        r"\breversal|annul|ruckgangig|find its way|made whole|what you(?:'ve| have)? (?:paid|spent)|(?:every|no|any) cent\b|(?:jeden|keinen) cent\b",
        r"charge ?back|geld.{0,30}zuruck|zuruck.{0,20}\bgeld\b|erstatt|ruckzahl|ruckuberweis|ruckbuch",
        r"(?:zahl|uberweis|bekomm|erhalt|kriegen|geben|buchen|schick)\w*.{0,60}"
        r"(?:betrag|summe|zahlung|geld|kosten|kaufpreis|alles|euro?|€|cent).{0,40}\bzuruck",
        r"(?:betrag|summe|zahlung|kaufpreis).{0,50}\bzuruck|zuruck(?:zahl|uberweis|erhalt|bekomm|gebuch|gezahl)\w*",
        r"\b(?:money|amount|sum|funds|cash)\b.{0,20}\b(?:finds|travels|makes|is making|returns|will return|wanders|heads)\b.{0,25}\b(?:home|way|you|whence|from|account)",
        r"\b(?:betrag|geld|summe)\b.{0,30}\b(?:auf dem weg|unterwegs)\b",
        r"\bkeep the .{0,30}\band (?:the|your) money|return (?:it|them|this) (?:at )?(?:any ?time|whenever)|\bbehalten sie (?:die|das|den) \w+,|\bdas geld kommt\b|jederzeit (?:zuruckgeben|umtauschen|zuruckschicken)",
        r"claim (?:is|was|has been|will be) (?:\w+ )?(?:approved|accepted|granted|upheld|paid)|(?:anspruch|anspruche|antrag|reklamation)\b.{0,30}\b(?:genehmigt|bewilligt|anerkannt|stattgegeben)",
        r"zuruckzuzahlen|zuruckgezahlt|zahlen (?:wir )?(?:ihnen |es |alles )+zuruck",
    ),
    "credit": _any(
        r"(?:store|account|shop|service|site|customer|loyalty) credits?\b|credit note|credits? (?:to|on|onto|in) your",
        r"credit(?:ed|ing)? (?:you|your (?:account|balance)|it|this|that|the (?:amount|sum|money|difference)|back)\b",
        r"\b(?:a|an|as|in|with|of) (?:small |one-time |\w+ (?:euro|dollar) )?credit\b(?! ?(?:cards?|card|check|limit|score|institut|rating|or|and))",
        rf"(?:will be|is|was|been|gets?|are) credited|credits? (?:of|worth) |{SUM} (?:in |of )?credit",
        r"(?:been|is|was) topped up|(?:top|topped|topping) up your (?:balance|account|wallet)|add\w* .{0,30}to your (?:balance|wallet)",
        r"gutschrift|gutschreib|gutgeschrieben|schreiben .{0,60}\bgut\b|guthaben.{0,40}(?:auf|schenk|erhoh|lad)",
        rf"{_GIFT}.{{0,30}}guthaben",
        r"\b(?:balance|account|wallet) (?:has been|was|is|will be|now|has)\b.{0,15}\b(?:increased|raised|topped|doubled|\d+ (?:more|higher|extra))|\baccount now shows\b",
        r"guthaben\b.{0,30}\b(?:erhoht|verdoppelt|aufgestockt|aufgeladen)",
    ),
    "discount": _any(
        r"discount(?! codes? (?:was|has|had|you|that|does|did|cannot|could|expired))|\d+\s?(?:%|percent|prozent)\s?(?:off|less|cheaper|reduction|rabatt|nachlass|gunstiger|weniger|billiger)",
        r"\b(?:you|sie) (?:\w+ )?(?:only |just )?(?:pay|zahlen|bezahlen) (?:only|just|half|less|nur|blo(?:ss|s)|weniger|die halfte)|\b(?:only|just) (?:have to )?pay (?:half|\d)|entgegenkommen|kommen .{0,40}entgegen",
        r"price\b.{0,30}\b(?:lower|cheaper|less|falls?|drops?|sinks?)\b|\b(?:wird|werden|becomes?|gets?) (?:\w+ ){0,2}(?:billiger|gunstiger|cheaper)\b",
        r"\b(?:price|preis)\b\s?(?::|is|ist|now|jetzt|=) ?(?:now |jetzt )?(?:0|zero|null|nothing)\b|zahlen sie (?:\w+ )?(?:nur|blo(?:ss|s)|weniger|die halfte)",
        r"\blassen\b.{0,30}\bnach\b|(?:preis|halfte|rechnung).{0,30}\blassen (?:wir|ich)\b",
        r"(?:half|reduced|special|lower|lowered|better) price|price (?:cut|reduction|match|drop)|half off|"
        r"(?:reduce|lower|halve|cut|drop|slash)\w* (?:the|your) (?:price|cost|bill|total)",
        rf"(?:knock|take|shave|taking)\w* .{{0,20}}(?:{SUM}|\d+ ?%|something|some|half|a bit) off",
        r"(?:give|send|get|offer|receiv|here (?:is|'s|are)|have|enjoy|gift)\w*.{0,30}\b(?:voucher|coupon|promo(?:tional)? code)",
        r"(?:voucher|coupon|promo(?:tional)? code).{0,20}(?:for you|is yours|on us)|(?:use|with|apply) (?:the |this |promo )*code:? \w*\d",
        r"rabatt|preisnachlass|\bnachlass\b|skonto|(?:halben|halber|reduzierte\w*|gunstigere\w*) preis|sonderpreis",
        r"(?:schenk|erhalt|bekomm|send|schick|hier ist|geben|kriegen)\w*.{0,40}gutschein|gutschein.{0,20}(?:fur sie|geschenkt)",
        r"\bremise\b|rabais|descuento|desconto|sconto|korting|znizk",
    ),
    "compensation": _any(
        r"compensat|compensac|dedommag|make (?:it|this|that|things|everything) up to|make (?:it|this|that|things|everything) (?:right|good)\b",
        r"made (?:it|this) up to you|make amends|goodwill|good will|as (?:an|our|a) (?:\w+ )?(?:apology|thank[- ]?you|gesture)",
        r"by way of (?:an )?apology|token of|indemnif|(?:we|i)(?:'ll| will)? (?:owe|make up for)|make up for",
        r"(?:cover|pay|pick up|settle|shoulder|bear|foot)\w* (?:for )?(?:the|your|all|any|this|that) (?:\w+ )?(?:cost|loss|losses|damage|expense|bill|tab|fee|difference)",
        r"take care of (?:the|your|any|all) (?:\w+ )?(?:cost|bill|fee|payment|invoice|expense)",
        rf"\b(?:{_GIVE}) (?:you|to you|your account).{{0,30}}{SUM}",
        rf"\byou(?:'ll| will| are going to| shall| can)?(?: soon| also| now)? (?:get|receive|have|be paid|be given)(?!.{{0,40}}(?:invoice|receipt|bill\b)).{{0,30}}{SUM}",
        rf"{SUM}.{{0,20}}(?:for your (?:trouble|patience|inconvenience)|is yours|on us)",
        r"(?:free|small|little|nice|bonus|welcome) gift\b(?! ?(?:card|wrap|message|receipt))|gift (?:from us|for you|on us)|bonus points|loyalty points|extra (?:month|points|days? of)",
        r"(?:send|ship|give|get)\w* (?:you |out )?(?:a |an |the )?(?:\w+ )?(?:replacement|new one|another one)",
        rf"\b(?:we|i|our team|someone)(?:'ll|'ve|'re|'m| will| have| are| can| shall| am)?{_TELLS}(?: \w+){{0,7}}? (?:money|price|costs?|bill|fees?|charges?|funds|balance|damage|loss|losses|expenses?|{SUM})(?!\w)",
        rf"\b(?:wir|ich) (?!haben|sehen|konnen|wissen|pruf|speicher|brauch|zeigen|nennen)\w+en?\b.{{0,50}}\b(?:geld|preis|kaufpreis|kosten|gebuhr\w*|schaden|verlust|summe|halfte|{SUM})",
        rf"entitled to|throw\w* in|(?:bezahlen|zahlen|ersetzen|ubernehmen|begleichen) wir\b|{SUM} (?:bekommen|erhalten) sie|euro (?:bekommen|erhalten) sie|stehen wir ein|(?:nachteile|verlust)\w* entsteh|entstehen .{{0,20}}keine",
        rf"{SUM}.{{0,20}}\b(?:on (?:its|their|the) way|coming|heading|waiting|more|extra|on top)\b(?! (?:than|expensive))|suffer (?:any|no) (?:loss|damage)",
        r"ihre?n? (?:schaden|verlust)\w*.{0,20}\bersetz|\bextra (?:liegt|legen|gibt)|\b(?:we|i) (?:hereby )?(?:admit|concede)\b|\bnegligen|legally responsible|\bfahrlassig",
        r"\b(?:the|our) (?:shop|company|firm|store|house|boss|management) (?:will |gladly |also )*(?:absorb|cover|pay|bear|carr|tak|foot|swallow)\w*|\b(?:extended|prolonged) (?:by|for) (?!up)\w+ (?:day|week|month|year)s?\b|\breplacement (?:leaves|ships|is on|goes|arrives)",
        r"present (?:from us|for you)|getting a (?:present|gift|bonus|treat)",
        r"\b(?:are|is|be|held) liable|accept liability|entschadig|schadens?ersatz|wiedergutmach|\bwieder ?gut\b|kulan[zt]|ausgleichen|als ausgleich",
        r"als (?:kleine[sn]? )?(?:entschuldigung|dankeschon|geste|trost)|schenken wir|wir schenken|geschenk (?:von uns|fur sie)|kleines geschenk",
        rf"{_GIFT}\b(?!.{{0,40}}(?:rechnung|beleg|quittung)).{{0,40}}{SUM}|{SUM}.{{0,40}}(?:geschenkt|fur ihre (?:muhe|geduld))",
        r"(?:schicken|senden|liefern|bekommen|erhalten).{0,40}(?:ersatz|neues gerat|neue ware)|\bhaften\b|bonuspunkte|treuepunkte",
        r"(?:ubernehmen|tragen|begleichen).{0,40}(?:kosten|schaden|rechnung|gebuhr|verlust)|(?:kosten|schaden|rechnung|gebuhr).{0,30}(?:ubernehmen|ubernommen|tragen)",
    ),
    "waiver": _any(
        rf"waiv\w+|(?:drop|forgiv|forgav|forgot|forget about|cancel|remov|writ|wrote|tak|lift|skip|eras|clear|wip|void|scrap|delet|settl)\w*.{{0,30}}\b(?:your|the|this|that|all|any) (?:\w+ ){{0,2}}{_DUES}\b",
        rf"{_DUES} (?:is|are|has|have|will|was|were)(?: been| be)? (?:now |all |already )?(?:waived|dropped|cancell?ed|forgiven|removed|written off|voided|wiped|cleared|settled|erased|gone|off the table)",
        r"(?:don't|do not|needn't|need not|won't|will not|no longer|never)(?: have| need)?(?: to)? (?:pay|be charged|be billed|be asked to pay|owe|cost)",
        r"consider (?:it|this|that|the \w+|your \w+) (?:gone|history|forgotten|void|erased|done|off)\b|\b(?:gone|off|vanish\w*|disappear\w*) from (?:your|the) (?:bill|invoice|account|statement)",
        rf"{_DUES} (?:is|are|was|were) (?:now |all |just )?(?:history|void|zero|nil|nothing|null|forgotten|gone|0)\b|\b(?:tear up|tear|throw|bin|shred)\b.{{0,20}}\b(?:invoice|bill|reminder|letter)\b|{_DUES} (?:is|are) ours\b",
        rf"\bno (?:further |more |other )?{_DUES} (?:is|are|will be) (?:now )?(?:due|owed|open|needed|necessary|required)\b|\b(?:be)?zahlen sie (?:\w+ )?nichts\b|\bnicht (?:zu |mehr zu )?(?:begleichen|bezahlen)\b|\b(?:ubernimmt|tragt|zahlt|ersetzt) (?:die firma|das unternehmen|der shop|das haus|unser\w*)",
        rf"\bthere (?:will be|is going to be|won't be) (?:no|any) (?:further |more )?{_DUES}\b|\b(?:fallt|fallen)\b.{{0,15}}\bweg\b|\bwill not (?:pursue|collect|chase|enforce)\b|\bkeep everything\b",
        r"(?:no need|without having) to pay|owe (?:us |me )?(?:nothing|no)\b|you'?re off the hook|consider (?:it|this|the \w+|your \w+) (?:paid|settled|done with|cleared)",
        r"(?:worry|think) about (?:the|your|any|paying|this) ?(?:cost|bill|fee|invoice|charge|payment|money)?|ignore (?:the|this|your|that) (?:\w+ )?(?:invoice|bill|reminder|fee|charge)",
        r"(?:rechnung|mahnung|gebuhr\w*|forderung|betrag)\b.{0,30}\b(?:ignorieren|vergessen|wegwerfen|erledigt|hinfallig|vom tisch)",
        r"(?:charge|fee|bill|invoice)s? (?:will|is going to|should) (?:disappear|vanish|go away)|ours to (?:bear|pay)|take care of (?:the|your) (?:\w+ )?(?:amount|sum|rest)|um die (?:rechnung|gebuhr|kosten|mahnung).{0,20}nicht",
        r"\b(?:nothing|no \w+) (?:will|would|is going to) be (?:billed|charged)|debts?\b.{0,20}\b(?:gone|history|over)|without (?:payment|paying)|(?:covered|paid|borne) by us",
        r"keine (?:weiteren )?(?:kosten|gebuhren)|kostet (?:sie |dich )?nichts|nicht (?:belast|abbuch|berechn|tragen)\w*|(?:belast|berechn)\w*.{0,40}\bnicht\b",
        r"nothing (?:more |else |left )?to pay|pay(?:ing)? nothing|not pay (?:a|anything|any)|(?:never|not) (?:be )?(?:charge|bill) you",
        r"erlass(?:en|t)? (?:wir|ihnen)|(?:wir|ihnen) (?:\w+ ){0,5}erlassen|verzicht(?:en|et)|entfallt\b|entfallen\b",
        rf"{_GERMAN_DUES}.{{0,40}}(?:entfall|erlass|streich|gestrich|storn|gelosch|vergess)\w*|(?:streich|stornier|losch|vergess|erlass)\w*.{{0,40}}{_GERMAN_DUES}",
        r"(?:mussen|brauchen|sollen|haben)\b.{0,40}\b(?:nicht|nichts|keinen cent|nie)\b.{0,30}(?:zu )?(?:be)?zahlen|nichts (?:mehr )?(?:zu )?(?:be)?zahlen|nichts berechnet",
        r"(?:wird|werden) (?:ihnen )?(?:nichts|nicht|keine \w+) (?:berechnet|abgebucht|belastet)|schulden (?:uns )?nichts|betrachten sie .{0,40}als (?:bezahlt|erledigt|beglichen)",
    ),
    "guarantee": _any(
        r"guarante|garanti|garanzia|warrant(?!y)|\b(?:we|i)(?: can| do| hereby| solemnly)? (?:promise|assure|swear|vouch|commit|pledge)|promise you|assure you",
        r"sicher[en]* (?:wir |ich )?(?:ihnen )?.{0,20}\bzu\b|mein wort\b|unser wort\b|(?:certain|sure|bound) to (?:arrive|get|work|be|receive)|selbstverstandlich",
        r"(?:never|not ever) (?:happen|occur|fail|break|go wrong)\b|\b(?:we|i)(?:'ll| will| shall) never (?:share|lose|charge|fail)\b|\bnie(?:mals)? (?:wieder|mehr)\b|(?:passiert|geschieht|kommt)\b.{0,20}\bnicht (?:wieder|noch einmal|mehr vor)\b",
        r"\b(?:lifetime|life-long|lifelong|extended|extra|\d+-year) warranty|extend\w* .{0,20}\bwarranty|brief und siegel",
        r",? promise(?:d)?[.!]?$|(?:my|our) word\b|(?:our|my|a) promise\b|word of honou?r|rest assured|you can (?:count|bank|rely) on|without fail|no matter what",
        r"(?:will|'ll|shall) (?:\w+ )?(?:definitely|certainly|surely|absolutely|for sure|always)|(?:definitely|certainly|surely|absolutely) (?:will|be|get)\b",
        r"100 ?% (?:sure|certain|safe|secure)|hundred percent|versprech|versprochen|versprich|zusicher|zugesichert|ehrenwort|gewahrleist",
        r"\b(?:wir|ich) versichern?\b|versichern (?:wir|ihnen)|mit sicherheit|auf jeden fall|verbindlich|hundertprozentig|konnen sie sich (?:darauf )?verlassen",
    ),
    "free": _any(
        r"for free\b|free of (?:any )?(?:charge|cost)|complimentary|on the house|\bon us\b|\bmy treat|our treat|our expense",
        r"(?:no|zero|without(?: any)?|free of) (?:\w+ )?(?:cost|charge|fees?)\b(?! (?:was|were|is|has|appears?))|costs? (?:you )?nothing|(?:won't|not|doesn't) cost",
        r"\bfree (?:for (?:you|life|ever|now|all|a)\b|forever|of cost)|\b(?:is|are|be) (?:now |yours )free\b(?! (?:to|from|of|again|space))",
        r"free (?:shipping|delivery|month|months|upgrade|replacement|trial|access|returns?|item|product|year|week|premium|subscription|of it)\b",
        r"\b(?:is|are|be|it's|that's|totally|completely|absolutely|entirely) free\b(?! (?:to|from|of (?!charge|cost|any)|again|space))|\bfreebie",
        r"kostenlos|kostenfrei|gratis|umsonst|geschenkt|aufs haus|unsere (?:kosten|rechnung)|ohne (?:aufpreis|mehrkosten|zusatzliche kosten|kosten|berechnung)|geht auf uns|gratuit|gratuito",
    ),
}
_AHEAD = re.compile(
    r"\b(?:will|'ll|shall|going to|we are|be (?:there|done|fixed|ready)|expect|arrives?|comes?|get back|wird|werden|wirst|erhalten|bekommen|melden"
    r"|(?:we|i) (?:reply|answer|respond|call|deliver|ship|finish|fix|send)|\bwir (?!haben|hatten|waren|sind|wurden)\w+en|(?<!haben )(?<!sind )\w+en wir"
    r"|ist .{0,40}bei ihnen|kommt|ist .{0,30}(?:erledigt|gelost|da|behoben|fertig)|haben sie|sind sie|erledigen|losen|kummern|beheben)\b"
)
_DAYS = (
    r"(?:tomorrow|today|tonight|noon|midnight|(?:mon|tues|wednes|thurs|fri|satur|sun)day|(?:the )?end of|eod|close of business"
    r"|next (?:week|month|\w+day)|the \d+|\d{1,2}(?:st|nd|rd|th)\b|\d{4}-\d\d|\d{1,2}[:.]\d\d|\d{1,2} ?(?:am|pm|o'clock|uhr)"
    r"|(?:january|february|march|april|may|june|july|august|september|october|november|december)\b)"
)
_SPAN = r"(?:\d+|an?|one|two|three|four|five|six|seven|ten|twelve|few|couple|half an|ein\w*|zwei|drei|vier|funf|sechs|sieben|acht|zehn|zwolf|zwanzig|dreissig|ten|twenty|thirty|wenig\w*|paar)"
_UNITS = r"(?:seconds?|minutes?|hours?|days?|weeks?|months?|sekunden?|minuten?|stunden?|tag\w*|woch\w*|monat\w*|werktag\w*|h|min)\b"
_TERM = _any(
    rf"\b(?:within|in|inside|under|less than|binnen|innerhalb|in hochstens)\b.{{0,25}}?\b{_SPAN}\b.{{0,20}}?{_UNITS}",
    r"\bwithin the (?:hour|day|week|month)\b",
    rf"\b(?:by|before|until|till|on|no later than|latest)\b (?:\w+ ){{0,2}}?{_DAYS}|\b(?:tomorrow|today|tonight|heute|morgen|ubermorgen)\b",
    r"\b(?:bis|noch|spatestens|am|vor)\b.{0,20}\b(?:morgen|heute|(?:mon|diens|donners|frei|sams|sonn)tag|mittwoch|ende|mitternacht|mittag|\d{1,2}\.|\d{1,2} uhr)",
    r"\b(?:immediately|at once|right away|instantly|straight away|asap|sofort|umgehend|unverzuglich)\b",
)
_ABOUT = _any(
    r"\b(?:policy|policies|terms|conditions|request|requested|requesting|ask(?:ed|ing)? (?:for|about)|apply|applied|question|whether|eligib\w+|depends?)\b",
    r"\b(?:learn|read|find out|how to|usually|normally|generally|typically|status|enter(?:ed)?|redeem|if you have|expired|ended|belongs)\b",
    r"\b(?:cannot|can't|can not|could not|unable|not possible|unfortunately|no longer (?:offer|available)|not (?:available|offer|able|eligible|valid|yet)|do not (?:offer|give))\b",
    r"\b(?:richtlinie\w*|bedingung\w*|beantrag\w*|anfrage\w*|anfragen|frage\w*|ob|hangt|moglich\w*|in der regel|normalerweise|ublicherweise|meist\w*|formular|leider|einlosen|eingeben|falls|informationen)\b",
    r"\b(?:kann|konnen|konnten) (?:wir )?(?:\w+ ){0,4}nicht\b|\bkeine?n? (?:\w+ )?(?:rabatt|gutschein|gutschrift|erstattung|ruckerstattung|garantie|nachlass)",
)
_ENDS = ".!?;:"
_PIECE = 3
"""Words of a piece of a sentence that is set apart."""
_NOT = r"(?! ?(?:not|never|n't|unable|be unable|unfortunately))"
_COMMITS = _any(
    rf"\b(?:we|i|our team|the team|they|someone)(?:'ll|'ve|'re|'m| will| shall| have| are| am| do| can| gladly| happily| hereby| just| now| would){_NOT}\b(?!'t)(?! ask| explain| check| look| tell| answer| see| help| read| need)",
    r"\byou(?:'ll| will| shall| are going to| can| may)?(?: soon| also| now| still| definitely| then)? (?:get|receive|have it|be (?:paid|given|refunded|credited)|are (?:entitled|due|owed))\b",
    r"\b(?:will|has|have|is|are|was|were|been|be)(?: been| being| be| now| already| automatically| fully){0,2} (?:refunded|credited|approved|granted|issued|waived|processed|paid|reimbursed|on its way|on the way|yours|guaranteed|confirmed|done|coming|initiated)\b",
    r"\b(?:wir|ich) (?:werden|haben|erstatt\w*|geben|zahlen|schenk\w*|gewahr\w*|uberweis\w*|veranlass\w*|garantier\w*|versprech\w*|verspreche|ubernehm\w*|schreib\w*|erlass\w*|streich\w*|stornier\w*|senden|schicken|bieten)\b(?!.{0,60}\b(?:nicht|keine\w*)\b)",
    r"\b(?:erstatt\w*|geben|zahlen|schenken|gewahren|uberweisen|veranlassen|garantieren|versprechen|schreiben|erlassen|bieten) (?:wir|ich)\b(?!.{0,60}\b(?:nicht|keine\w*)\b)",
    r"\b(?:sie|du) (?:\w+ )?(?:bekommen|erhalten|kriegen|bekommst|erhaltst)\b(?!.{0,60}\b(?:nicht|keine\w*)\b)|\b(?:bekommen|erhalten|kriegen) sie\b(?!.{0,60}\b(?:nicht|keine\w*)\b)",
    r"\b(?:wird|werden|wurde|ist|sind) (?:\w+ ){0,5}(?:erstattet|gutgeschrieben|genehmigt|bewilligt|uberwiesen|zuruckgezahlt|erlassen|gewahrt|veranlasst)\b(?<!nicht erstattet)",
)
_REFUSES = _any(
    r"\b(?:can't|cannot|can not|could not|couldn't|not|never|no|unable to|keine?|nicht)(?: be| fully| always| any| give (?:a|any)| make (?:a|any))? (?:guarantee|guaranteed|promise|assure|guarantees|promises|garantie\w*|garantieren|versprechen)\b",
    r"\b(?:garantieren|versprechen|zusichern) (?:\w+ ){0,4}nicht\b|\b(?:konnen|kann) (?:\w+ ){0,5}(?:nicht|keine\w*) (?:\w+ ){0,3}(?:garantier\w*|versprech\w*|zusicher\w*)",
)


_DUE = _any(
    rf"\b(?:spatestens|no later than|at the latest)\b.{{0,30}}\b(?:{_DAYS}|{_SPAN}\b|heute|morgen|ubermorgen|\w+tag\b)",
    rf"\b(?:expect|awaiting)\b (?:it|them|this|(?:your|the) \w+) (?:on |by |this |next )?{_DAYS}",
    rf"\b(?:delivery|arrival|lieferung|liefertermin|zustellung|ankunft)\s?(?::|=)\s?(?:\w+ )?(?:\d|{_DAYS})",
    rf"\b(?:scheduled|planned|due|set) to (?:reach|arrive|be|get|ship)\b.{{0,30}}(?:\d|{_DAYS})",
    rf"^(?:in )?{_SPAN} (?:working |business |more )?{_UNITS},? (?:and |then |und |dann )+",
)
"""A date or a span that is a promise without a verb that says so."""
_PARTS = re.compile(r",? (?:but|aber|however|sondern) ")


def promised(text: str) -> frozenset[str]:
    """The kinds of promises that ``text`` makes."""
    found = {kind for sentence in sentences(text) for kind in _made(sentence)}
    return frozenset(found | _apart(sentences(text)))


def broken(text: str, granted: Iterable[str], quotable: Sequence[str]) -> frozenset[str]:
    """The kinds of promises in ``text`` that are not ``granted`` and that do not stand, as whole
    sentences, in one of the texts ``quotable``."""
    said = {words(sentence) for source in quotable for sentence in sentences(source)}
    left = " ".join(one for one in sentences(text) if words(one) not in said)
    return promised(left) - frozenset(granted)


def _apart(found: Sequence[str]) -> set[str]:
    """The kinds of what is said in pieces that are no sentences: across neighbours of which one has
    only a few words, or the first does not end."""
    said = [words(one) for one in found]
    short = [len(one.split()) <= _PIECE for one in said]
    kinds: set[str] = set()
    for at, (one, after) in enumerate(pairwise(said)):
        if short[at] or short[at + 1] or found[at].rstrip()[-1:] not in _ENDS:
            kinds |= _named(f"{one} {after}") - _named(one) - _named(after)
    if sum(short) * 2 > len(said):
        kinds |= _named(" ".join(said)).difference(*map(_named, said))
    return kinds


def _named(plain: str) -> set[str]:
    return {kind for kind, pattern in _SPOKEN.items() if pattern.search(plain)}


def _made(sentence: str) -> set[str]:
    found: set[str] = set()
    for plain in readings(sentence):
        kinds = set()
        parts = _PARTS.split(plain)
        whole = _named(plain) - set().union(*map(_named, parts))
        for part in (plain, *parts) if whole else parts:
            if not _ABOUT.search(part) or _COMMITS.search(part):
                kinds |= _named(part)
        if "guarantee" in kinds and _REFUSES.search(plain):
            kinds.discard("guarantee")
        if (_AHEAD.search(plain) and _TERM.search(plain)) or _DUE.search(plain):
            kinds.add("deadline")
        found |= kinds
    if not found and commits(folded(sentence)):
        found.add("compensation")
    return found
