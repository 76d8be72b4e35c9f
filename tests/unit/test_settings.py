"""Settings: what is read, and how each mistake is told."""

from pathlib import Path

import pytest

from forestall.contracts.instants import HOUR
from forestall.kernel.settings import InvalidSettings, Mail, RequestTracker, load_settings

HOOK = '[webhooks.hook]\nurl = "https://example.org/"\nsecret = "whsec_"\n'
KEY = '[[keys]]\nname = "shop"\nkey = "k"\norigin = "server"\n'
CREDENTIAL = '[credentials.crm]\nvalue = "env:CRM"\nhosts = ["crm.internal"]\nactions = ["a"]\n'
RT = '[helpdesks.rt]\nkind = "request-tracker"\nurl = "u"\ntoken = "env:RT"\nqueue = "q"\n'
QUEUE_R = '[queues.r]\nhelpdesk = "rt"\n'
MAIL = (
    '[helpdesks.mail]\nkind = "email"\nsmtp = "s"\nimap = "i"\nuser = "u"\n'
    'password = "env:MAIL"\nfrom = "f@example.com"\nto = "t@example.com"\n'
)
ANN = '[people.ann]\ntoken = "0123456789abcdefghij"\nroles = ["approver"]\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "forestall.toml"
    path.write_text(text)
    return path


def test_an_empty_file_gives_the_defaults_beside_it(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, ""))
    assert settings.data == tmp_path / "data"
    assert settings.policies is None
    assert (settings.server.port, settings.decide.budget) == (8080, 3)


@pytest.mark.parametrize(
    ("host", "url"),
    [("shop.local", "http://shop.local:1"), ("::1", "http://[::1]:1"), ("::", "http://[::]:1")],
)
def test_the_address_of_a_server_is_a_url(host: str, url: str, tmp_path: Path) -> None:
    text = f'[server]\nhost = "{host}"\nport = 1\n'
    assert load_settings(written(tmp_path, text)).server.url == url


def test_everything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNING", "from the environment")
    (tmp_path / "hook.secret").write_text("from a file\n")
    text = '[tokens]\nsecret = "env:SIGNING"\n[policies]\nfolder = "p"\n' + KEY
    text += HOOK.replace("whsec_", "file:hook.secret") + '[queues.q]\nwebhook = "hook"\n'
    text += '[decide]\nspacing = "2h"\nquiet_hours = "22:00-08:30"\ntimezone = "Europe/Zurich"\n'
    settings = load_settings(written(tmp_path, text))
    assert settings.tokens.secret == "from the environment"
    assert settings.webhooks["hook"].secret == "from a file"
    assert settings.policies == tmp_path / "p"
    assert settings.decide.spacing == 2 * HOUR
    assert settings.decide.quiet_hours == (22 * 60, 8 * 60 + 30)
    assert settings.queues["q"].webhook == "hook"
    assert load_settings(written(tmp_path, text), secrets=False).tokens.secret == "env:SIGNING"


def test_helpdesks_and_tiers_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RT", "rt-canary")
    monkeypatch.setenv("MAIL", "mail-canary")
    text = RT + MAIL + '[queues.a]\nhelpdesk = "rt"\nack = "10m"\nnext = "b"\n'
    text += '[queues.b]\nhelpdesk = "mail"\nrole = "partner"\nsolved = ""\n'
    text += '[links.Shop]\nurl = "https://shop.example/{customer}"\n'
    settings = load_settings(written(tmp_path, text))
    tracker, mail = settings.helpdesks["rt"], settings.helpdesks["mail"]
    assert isinstance(tracker, RequestTracker)
    assert isinstance(mail, Mail)
    assert (tracker.token, tracker.solved) == ("rt-canary", ("resolved", "rejected"))
    assert (mail.password, mail.sender, mail.folder) == ("mail-canary", "f@example.com", "INBOX")
    assert (settings.queues["a"].next, settings.queues["b"].role) == ("b", "partner")
    assert settings.links["Shop"].url == "https://shop.example/{customer}"
    assert "-canary" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[queues.q]", "queues.q: give either"),
        ('[queues.q]\nwebhook = "h"\nhelpdesk = "h"', "queues.q: give either"),
        ('[queues.q]\nhelpdesk = "rt"', "queues.q.helpdesk: there is no [helpdesks.rt]"),
        (RT + '[queues.q]\nhelpdesk = "rt"\nack = "5m"', "`ack` and `next` belong together"),
        (RT + '[queues.q]\nhelpdesk = "rt"\nnext = "x"', "`ack` and `next` belong together"),
        (RT + '[queues.q]\nhelpdesk = "rt"\nack = "5m"\nnext = "x"', "there is no [queues.x]"),
        (RT + '[queues.q]\nhelpdesk = "rt"\nack = "5m"\nnext = "q"', "q > q"),
        (RT + '[queues.q]\nhelpdesk = "rt"\nack = "x"\nnext = "r"\n' + QUEUE_R, "queues.q.ack"),
        (RT + '[queues.q]\nhelpdesk = "rt"\nrole = "boss"', "role"),
        (RT + 'poll = "often"', "helpdesks.rt.poll"),
        (RT + 'timeout = "1y"', "helpdesks.rt.timeout"),
        (RT.replace("request-tracker", "pigeon"), "pigeon"),
        (MAIL.replace('from = "f@example.com"\n', ""), "from"),
        ("[server", "forestall.toml"),
        ("[server]\nprot = 1", "prot"),
        ('[knowledge]\nlanguage = "xx"', "knowledge.language: 'xx' is the code of no language"),
        ('[knowledge]\nlanguage = "english"', "(ISO 639-1), such as en, de or ja"),
        ('[knowledge]\nlanguage = "DE"', "knowledge.language: 'DE'"),
        ("[server]\nport = 65536", "$.server.port"),
        ("[server]\napp_port = -1", "$.server.app_port"),
        ("[ingest]\nmax_event_bytes = 19999", "$.ingest.max_event_bytes"),
        ("[ingest]\nmax_batch_bytes = 99999", "$.ingest.max_batch_bytes"),
        ("[ingest]\nqueue_events = 0", "$.ingest.queue_events"),
        ('[ingest]\nclock = "sun"', "$.ingest.clock"),
        ("[decide]\nbudget = -1", "$.decide.budget"),
        ("[decide]\nholdout = 1.5", "decide.holdout"),
        ('[decide]\ngrace = "soon"', "decide.grace"),
        ('[decide]\nquiet_hours = "22-08"', "decide.quiet_hours"),
        ('[decide]\ntimezone = "Nowhere/Land"', "Nowhere/Land"),
        ('[decide]\ntimezone = "../etc/passwd"', "decide.timezone"),
        ('[tokens]\nanonymous_lifetime = "abc"', "tokens.anonymous_lifetime"),
        ('[tokens]\nsecret = "env:FORESTALL_NOT_SET"', "FORESTALL_NOT_SET"),
        ('[tokens]\nsecret = "file:nowhere"', "file:nowhere"),
        (HOOK + '[queues.q]\nwebhook = "hok"', "[webhooks.hok]"),
        (KEY + KEY, "'shop'"),
        ('[people.ann]\ntoken = "short"\nroles = ["approver"]', "people.ann.token"),
        (ANN + ANN.replace("ann", "bob"), "people.bob.token: ann has the same"),
        (ANN.replace('"approver"', ""), "$.people.ann.roles"),
        (ANN + "age = 5", "age"),
        ('[outbound]\ntimeout = "soon"', "outbound.timeout"),
        ("[outbound]\nmax_bytes = 0", "$.outbound.max_bytes"),
        ("[mcp.desk]", "mcp.desk"),
        ('[mcp.desk]\nurl = "https://x/"\ncommand = ["y"]', "mcp.desk"),
        ('[mcp.desk]\nurl = "https://x/"\ncredential = "no"', "[credentials.no]"),
        (
            CREDENTIAL.replace("env:CRM", "x") + '[mcp.desk]\ncommand = ["y"]\ncredential = "crm"',
            "mcp.desk",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        load_settings(written(tmp_path, text))
    assert told in str(caught.value)
    assert "forestall.toml" in str(caught.value)
    assert caught.value.exit_code == 2


def test_people_have_tokens_and_roles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANN_TOKEN", "0123456789abcdefghij")
    text = ANN.replace("0123456789abcdefghij", "env:ANN_TOKEN") + 'title = "Head of payments"\n'
    ann = load_settings(written(tmp_path, text)).people["ann"]
    assert ann.token == "0123456789abcdefghij"
    assert (ann.roles, ann.title) == (("approver",), "Head of payments")
    unread = load_settings(written(tmp_path, text), secrets=False).people["ann"]
    assert unread.token == "env:ANN_TOKEN"


def test_what_actions_need_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM", "canary-secret")
    text = CREDENTIAL + '[actions]\nfolder = "acts"\n[apis.crm]\nurl = "https://crm.internal/v2"\n'
    text += '[mcp.desk]\ncommand = ["desk"]\ncredential = "crm"\nvariable = "T"\nlog = "desk.log"\n'
    text += '[outbound]\nallow = ["crm.internal"]\ntimeout = "7s"\nmax_bytes = 5\n'
    settings = load_settings(written(tmp_path, text))
    assert settings.actions == tmp_path / "acts"
    assert settings.credentials["crm"].value == "canary-secret"
    assert "canary" not in repr(settings.credentials)
    assert settings.apis["crm"].url == "https://crm.internal/v2"
    assert settings.mcp["desk"].log == str(tmp_path / "desk.log")
    assert settings.outbound.allow == ("crm.internal",)
    assert (settings.outbound.timeout, settings.outbound.max_bytes) == ("7s", 5)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="cannot be read: Is a directory"):
        load_settings(tmp_path)


def test_a_file_that_is_not_utf_8_is_told_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    path.write_bytes(b'[server]\nhost = "caf\xe9"\n')
    with pytest.raises(InvalidSettings, match=r"forestall\.toml:2: not UTF-8 text"):
        load_settings(path)


def test_a_mark_at_the_start_of_the_file_is_skipped(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    path.write_bytes(b"\xef\xbb\xbf[server]\nport = 81\n")
    assert load_settings(path).server.port == 81


def test_a_secret_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff")
    with pytest.raises(InvalidSettings, match="'file:key': not UTF-8 text"):
        load_settings(written(tmp_path, '[tokens]\nsecret = "file:key"\n'))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="no such file"):
        load_settings(tmp_path / "nowhere.toml")


def test_the_tables_may_be_in_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TABLES", "postgresql+psycopg://me:hush@db/forestall")
    path = written(tmp_path, '[database]\nurl = "env:TABLES"\n')
    assert load_settings(path).database == "postgresql+psycopg://me:hush@db/forestall"
    assert load_settings(path, secrets=False).database == "env:TABLES"
    assert load_settings(written(tmp_path, "")).database is None


def test_another_database_is_refused_without_showing_its_password(tmp_path: Path) -> None:
    path = written(tmp_path, '[database]\nurl = "mysql://me:hush@db/forestall"\n')
    with pytest.raises(InvalidSettings, match=r"database\.url: write it as") as refused:
        load_settings(path)
    assert "hush" not in str(refused.value)


def test_flags_and_fairness_are_read(tmp_path: Path) -> None:
    text = '[flags]\nprovider = "ours:make"\n[flags.values]\nconsole = false\nx = 1\ny = 0.5\nz = "a"\n'
    settings = load_settings(written(tmp_path, text + '[fairness]\ntraits = ["plan"]\nleast = 7\n'))
    assert settings.flags.values == {"console": False, "x": 1, "y": 0.5, "z": "a"}
    assert settings.flags.provider == "ours:make"
    assert (settings.fairness.traits, settings.fairness.least) == (("plan",), 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[flags.values]\nconsole = "off"\n', "console is true or false, not 'off'"),
        ("[flags.values]\nX = true\n", "'X' is no name of a flag"),
        ("[flags.values]\nx = 9007199254740992\n", "below 2\\^53"),
        ("[flags.values]\nx = inf\n", "finite"),
        (f'[flags.values]\nx = "{"y" * 1001}"\n', "at most 1,000 characters"),
        ("[flags.values]\nx = [1]\n", "Expected"),
        ('[flags]\nprovider = "ours"\n', "provider"),
        ("[fairness]\nalpha = 0\n", "alpha"),
        ("[fairness]\nleast = 0\n", "least"),
    ],
)
def test_mistakes_in_flags_and_fairness_are_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidSettings, match=message):
        load_settings(written(tmp_path, text))


@pytest.mark.parametrize("place", ["shop.example.com", "*.example.com", "tel:+41 44 123 45 67"])
def test_places_that_messages_may_lead_to_are_read(tmp_path: Path, place: str) -> None:
    settings = load_settings(written(tmp_path, f'[agents]\nlinks = ["{place}"]\n'))
    assert settings.agents.links == (place,)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[agents]\nlinks = ["https://shop.example.com"]\n', "links"),
        ('[agents]\nlinks = ["shop.example.com/help"]\n', "links"),
        ('[agents]\nlinks = ["tel:"]\n', "links"),
        ('[agents]\nlinks = ["*"]\n', "links"),
        ('[language_models.a]\nmodel = "openai:x"\nurl = "localhost:1"\n', "url"),
        ('[language_models.a]\nmodel = "x"\n', "model"),
    ],
)
def test_mistakes_in_agents_and_their_models_are_told(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(InvalidSettings, match=rf"\.{key}"):
        load_settings(written(tmp_path, text))
