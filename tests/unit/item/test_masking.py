"""No secret gets out: a table of the forms that secrets have in texts, and what stays as it is."""

import base64
import os
import re
import string
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases import each
from worker.item.known_secrets import KnownSecrets
from worker.item.masking import CUT, MARGIN, hide, masked, secrets_in, shortened
from worker.item.secret_names import is_secret_name

S = "s3cr3tV4lue"
HEX = "0123456789abcdef0123456789abcdef"
LONG = "Zm9vYmFyQmF6MTIzNDU2Nzg5MGFiY2RlZg"
PEM = "-----BEGIN {0}PRIVATE KEY-----\nMIIEv{1}\nQIBADAN\n-----END {0}PRIVATE KEY-----"

FORMS = [
    # Headers
    f"Authorization: Bearer {S}",
    f"authorization=Bearer {S}",
    f"Authorization: Basic {S}",
    f"AUTHORIZATION:Token {S}",
    f"Authorization: ApiKey {S}",
    f"Authorization: {S}",
    f"Authorization: Custom-Scheme abc {S}",
    f'Authorization: Digest username="u", realm="r", response="{S}"',
    f"Authorization: AWS4-HMAC-SHA256 Credential=AK/x, SignedHeaders=host, Signature={S}",
    f"Proxy-Authorization: Negotiate {S}",
    f"sent Authorization: Bearer {S} to the server",
    f"curl -H Authorization:Bearer {S}",
    f"curl -H 'Authorization: Bearer {S}' https://example.com",
    f'curl -H "Authorization: Hawk id=x, mac={S}" https://example.com',
    f"{{'Authorization': 'Bearer {S}', 'Accept': '*/*'}}",
    f"[(b'host', b'x'), (b'authorization', b'Bearer {S}')]",
    f"Headers([('authorization', 'Bearer {S}')])",
    f"Cookie: theme=dark; sessionid={S}",
    f"Set-Cookie: id={S}; Path=/; HttpOnly",
    f"cookie: {S}",
    f"X-Api-Key: {S}",
    f"x-api-key={S}",
    f"X-Auth-Token: {S}",
    f"X-Amz-Security-Token: {S}",
    f"Ocp-Apim-Subscription-Key: {S}",
    f"Private-Token: {S}",
    f"X-Hub-Signature-256: sha256={S}",
    f"HTTP_AUTHORIZATION=Bearer {S}",
    # URLs
    f"redis://:{S}@redis:6379/0",
    f"amqp://guest:{S}@mq/",
    f"postgres://u:p@{S}@db/x",
    f"postgres://u:a/{S}?#@db/x",
    f"https://bob:{S}@host/path?x=1",
    f"https://{S}@github.com/a/b.git",
    f"https://{S}:x-oauth-basic@github.com/a/b.git",
    f"mongodb+srv://u:{quote(S + '!')}@cluster.example.net/db",
    f"https://host/?api_key={S}&x=1",
    f"https://host/cb#access_token={S}&state=1",
    f"https://acc.blob.core.windows.net/c?sv=2020&sig={S}",
    f"https://host/?X-Amz-Signature={S}",
    f"https://host/?next=%2Fa%3Ftoken%3D{S}%26x",
    f"user:{S}@tcp(127.0.0.1:3306)/db",
    f"dial bob:{S}@db.example.com:5432",
    f"jdbc:oracle:thin:scott/{S}@//host:1521/x",
    f"jdbc:postgresql://h/db?user=u&password={S}",
    f"https://hooks.slack.com/services/T0/B0/{S}",
    # Connection strings
    f"Server=db;User Id=u;Password={S};Encrypt=yes",
    f"Server=db;Password=a b {S};Database=x",
    f"Driver={{ODBC}};UID=u;PWD={{a;{S}}};",
    f"DefaultEndpointsProtocol=https;AccountKey={S}==;EndpointSuffix=x",
    f"Endpoint=sb://x/;SharedAccessKey={S}",
    f"host=h user=u password={S} dbname=x",
    f"host=h password='a b {S}' dbname=x",
    # JSON, Python, JavaScript
    f'{{"password": "{S}"}}',
    f'{{"password":"{S}","n":1}}',
    f'{{"clientSecret": "{S}"}}',
    f'{{"auth": "{S}"}}',
    f'"{{\\"password\\": \\"{S}\\"}}"',
    f'{{"name": "DB_PASSWORD", "value": "{S}"}}',
    f'{{"tokens": ["a", "{S}"]}}',
    f'{{"credentials": {{"user": "u", "key": "{S}"}}}}',
    f'{{"password": "a \\" {S}"}}',
    f"{{'pass': '{S}'}}",
    f"{{'pass': b'{S}'}}",
    f"{{'user': 'u', 'pw': \"{S}\"}}",
    f"Login(user='u', password='{S}')",
    f"Login(user='u', password='it\\'s {S}')",
    f"connect(host, auth=('bob', '{S}'))",
    f"connect(password=SecretStr('a {S}'))",
    f"os.environ['DB_PASS'] = '{S}'",
    f'password: str = "{S}"',
    f"if token == '{S}':",
    f"const apiToken = `{S}`;",
    f"{{ secretKey: '{S}' }}",
    f'{{:password=>"{S}"}}',
    f"set_password('{S}')",
    f'token = """{S}"""',
    f"password\n  Value error, no [type=x, input_value='{S}', input_type=str]",
    # Files
    f"DB_PASS={S}",
    f"export ENCRYPTION_KEY={S}",
    f'API_TOKEN="{S}"',
    f"DB_PASSWORD=a pass {S}",
    f"DB_PASSWORD='two\nlines {S}'",
    f"STRIPE_KEY={S}",
    f"SECRET_KEY_BASE={S}",
    f"PGPASSWORD={S}",
    f"MYSQL_PWD={S}",
    f"password: {S}",
    f"db:\n  password: a pass {S}\n  port: 1",
    f"  - name: API_KEY\n    value: {S}",
    f"secret: |\n  line one\n  {S}\nport: 1",
    f"[db]\npassword = a {S}\n",
    f"//registry.npmjs.org/:_authToken={S}",
    f"machine h login u password {S}",
    f"<password>{S}</password>",
    f'<Password enc="none">{S}</Password>',
    f"<ns:apiKey>{S}</ns:apiKey>",
    f'<add key="DbPassword" value="{S}" />',
    f'<input name="password" value="{S}">',
    f'Content-Disposition: form-data; name="password"\r\n\r\n{S}\r\n--x',
    # Commands
    f"tool --password {S}",
    f"tool --password={S}",
    f"tool --api-key '{S}'",
    f"['tool', '--token', '{S}']",
    f"curl -u bob:{S} https://h",
    f"['curl', '-u', 'bob:{S}']",
    f"mysql -u root -p{S} db",
    f"sshpass -p {S} ssh h",
    f"redis-cli -a {S}",
    f"docker login -u me -p {S}",
    f"sshpass -p'{S}' ssh h",
    f"CREATE USER x IDENTIFIED BY '{S}'",
    # As other programs write them
    f"HTTP/1.1 401\\r\\nAuthorization: Basic {S}\\r\\nHost: x",
    f"Authorization: Bearer\n  {S}",
    f"db:\n  password:\n    {S}\n  port: 1",
    f"credentials:\n  user: u\n  key: {S}\nport: 1",
    f"<property name='password'>{S}</property>",
    f"<password><![CDATA[{S}]]></password>",
    f"&lt;password&gt;{S}&lt;/password&gt;",
    f"&quot;password&quot;: &quot;{S}&quot;",
    f"\\u0022password\\u0022: \\u0022{S}\\u0022",
    f"os.environ.get('TOKEN') -> '{S}'",
    f"AuthToken({S})",
    f"adgangskode={S}",
    f"contraseña: {S}",
    f"пароль: {S}",
    f"密码：{S}",  # noqa: RUF001
    # Prose
    f"Password for user bob: {S}",
    f"Incorrect API key provided: {S}.",
    f"Bearer {S}",
    f"the password {S} was refused",
    f"wrong password '{S}'",
    f"password is {S}.",
    f"API key: {S}",
    f"the api key = {S}",
    f"password={S}, user=bob",
    f"password=a,{S} b",
    f"password=x&{S}",
    # Encoded once more, or cut
    f"%7B%22password%22%3A%20%22{S}%22%7D",
    f"body=%257B%2522password%2522%253A%2522{S}%2522%257D",
    f"password%3D{S}%26user%3Dx",
    f"https://x.example/cb?next=https%3A%2F%2Fu%3A{S}%40h.example%2F",
    f"MIIEv{S}\nQIBADAN\n-----END RSA PRIVATE KEY-----",
    f"PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 2\n{S}\nAbCd\nPublic: x",
    # Without a name of their own
    f"ConvertTo-SecureString '{S}' -AsPlainText -Force",
    f"net use Z: \\\\host\\share {S} /user:dom\\bob",
    f"smbclient //host/share -U bob%{S}",
    f"<Cookie sessionid={S} for .example.com/>",
    f"AUTH PLAIN {S}",
    f'a1 LOGIN bob "{S}"',
    f"Mot de passe : {S}",
    f"mdp={S}",
    f"GET https://api.example.com/v1/token/9x{S}/items",
    f"GET /api_key/9x{S} HTTP/1.1",
    f"https://example.com/reset-password/9x{S}?lang=de",
    f"db.example.com:5432:invoices:bob:{S}",
    f".pgpass, line 3: *:*:*:bob:{S}",
    f"DETAIL:  Key (api_token)=({S}) already exists.",
    f"password for user bob is 9{S}",
    f"SET PASSWORD FOR bob = '{S}'",
    f"sshpass -p '{S}' ssh bob@host",
    f"unzip -P {S} a.zip",
    f"7z x -px{S} a.7z",
    f"mosquitto_pub -u bob -P {S} -t x",
    f"sqlplus bob/{S}@db",
    f"\x1b[31mpassword\x1b[0m={S}",
]
TOKENS = [
    f"ghp_{LONG}",
    f"gho_{LONG}",
    f"github_pat_11ABC_{LONG}",
    f"glpat-{LONG}",
    f"xoxb-123-456-{LONG}",
    f"xapp-1-A0-{LONG}",
    f"sk_live_{LONG}",
    f"rk_test_{LONG}",
    f"whsec_{LONG}",
    f"sk-{LONG}",
    f"sk-proj-{LONG}",
    f"sk-ant-api03-{LONG}",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    f"AIza{LONG}",
    f"ya29.{LONG}",
    f"GOCSPX-{LONG}",
    f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{LONG}",
    f"eyJ{LONG}",
    f"npm_{LONG}",
    f"pypi-{LONG}",
    f"hf_{LONG}",
    f"dckr_pat_{LONG}",
    f"dop_v1_{HEX}{HEX}",
    f"dapi{HEX}",
    f"shpat_{HEX}",
    f"SG.{LONG}.{LONG}",
    f"hvs.{LONG}",
    f"glsa_{LONG}",
    f"key-{HEX}",
    f"SK{HEX}",
    f"lin_api_{LONG}",
    f"AGE-SECRET-KEY-1{'QPZRY9X8' * 7}",
    f"$2b$12${LONG}",
    f"$argon2id$v=19$m=65536,t=3,p=4${LONG}",
    "123456789:AAE_" + "x" * 31,
    PEM.format("", LONG),
    PEM.format("RSA ", LONG),
    PEM.format("OPENSSH ", LONG),
    PEM.format("EC ", LONG).replace("\n", "\\n"),
    f"-----BEGIN PRIVATE KEY-----\n{LONG}",
    f"xai-{LONG}{LONG}",
    f"HRKU-AA{HEX}_{LONG}",
    f"vercel_blob_rw_{LONG}",
    f"vcp_{LONG}{LONG}",
    f"sbp_{LONG}{LONG}",
    f"dp.pt.{LONG}{LONG}",
    f"pcsk_{LONG}_{LONG}",
    f"patHwg2KDInTEGbOY.{HEX}{HEX}",
    f"AAAAe7N3x4V:APA91b{LONG}{LONG}",
    f"access_token$production$abcdefghijklmnop${HEX}",
    f"cfut_{LONG}{LONG}",
    f"nfp_{LONG}",
    f"rnd_{LONG}",
    f"tvly-{LONG}",
    f"tgp_v1_{LONG}{LONG}",
    f"fc-{HEX}",
    f"jina_{LONG}{LONG}",
    f"mdb_sa_sk_{LONG}",
    f"dt0c01.{'ABC234' * 4}.{'ABC234' * 10}",
    f"LTAI5t{LONG}",
    f"ATBB{LONG}",
    f"CCIPAT_{LONG}_{HEX}",
    f"EAAG{LONG}{LONG}",
    f"pul-{HEX}abcdef01",
    f"csk-{LONG}{LONG}",
]
HARMLESS = [
    'File "/usr/lib/python3/site-packages/token/tokenize2021.py", line 3',
    "GET https://host/auth/realms/main/token/introspection?x=1",
    "the link 00:11:22:33:44:55 of fe80::1 at 2026-11-28T10:00:00.123Z",
    "a.py:100:5: E501 line too long: a:b:c:d",
    "the password for bob is wrong",
    "the password is wrong: see https://host/docs/x1 for more",
    '    async with session:\n  File "x.py", line 3',
    "nothing to hide",
    "worker wrote the outcome of item 65a1b2c3d4e5f60718293a4b to queue invoices in 0.12 s",
    "a bearer token is missing",
    "the password is wrong",
    "Basic usage of tokens",
    "Unexpected token '}', \"x\" is not valid JSON",
    "max_tokens=4096 tokens: 128 token_type=bearer token_url=https://host/oauth",
    "password_length=12 password_file=/run/secrets/db secret_name=db",
    "primary_key=4711 key=invoice-4711 sort_key='name' keyboard=us per_key=1",
    "password=None token=null secret='' cookie={} auth=False jwt=''",
    "PWD=/home/bob OLDPWD=/tmp",
    "DB_URL=${DB_PASSWORD} {password} <password>",
    "author=bob monkey=1 compass=north bypass: yes passed: 3 tokenizer=bert",
    "https://host:8443/path/@scope?mail=a@b.example#x",
    "ssh://git@github.com/a/b.git git@github.com:a/b.git mailto:bob@example.com",
    "python:3.12@sha256:0123456789abcdef",
    "at 12:30:15 the sun went down; desk-lamp-of-the-very-old-kind-in-the-room",
    '{"amount": "12.50", "lines": [{"sku": "A-1", "n": 2}], "when": "2026-01-01T10:00:00Z"}',
    'File "/app/handlers/invoices.py", line 12, in book\n    raise ValueError("no amount")',
    "KeyError: 'amount'; TypeError: 'NoneType' object is not subscriptable",
    "LOGIN failed for the user bob",
    "AUTH failed because the server is away",
    "the keys d, p and q of a map",
]


@pytest.fixture(autouse=True, scope="module")
def _nothing_in_the_environment() -> Iterator[None]:
    """No variable of the machine decides what these texts become."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if is_secret_name(name):
                patch.delenv(name)
        yield


@each("text", FORMS)
def test_a_secret_in_a_known_form_is_masked(text: str) -> None:
    assert S not in masked(text)
    assert "***" in masked(text)


@each("around", ["{}", "x={}", "see {} there", "'{}'", '"{}",', "({})", "\n{}\n"])
@each("token", TOKENS)
def test_a_token_is_known_by_its_shape(token: str, around: str) -> None:
    shown = masked(around.format(token))
    assert not any(part in shown for part in (LONG, HEX, "IOSFODNN", "QPZRY9X8", "xxxx", "QIBADAN"))


@each("text", HARMLESS)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    "text",
    [f"AUTH default {S}", f"your OTP is 482913 until noon (password {S})", f"LOGIN bob {S}"],
)
def test_what_looks_like_none_of_a_languages_words_is_masked_behind_a_command(text: str) -> None:
    assert S not in masked(text)
    assert "482913" not in masked(text)


@each("text", [*FORMS, *TOKENS])
def test_masking_again_takes_no_more_than_what_closed_a_value(text: str) -> None:
    def unclosed(text: str) -> str:
        return re.sub(r"(?<=\*\*\*)(?::|\]\]>|%(?:25)*7D)", "", text)

    once = masked(text)
    assert unclosed(masked(once)) == unclosed(once)
    assert masked(masked(once)) == masked(once)


def test_there_are_a_hundred_forms() -> None:
    assert len(set(FORMS)) >= 100


HOSTILE = [
    "x", " ", "eyJ", "-eyJaaaaaaaa", "password=", "password ", "a://", "x://a:", "token='",
    "secret  ", "key ", "keypass", "a:a@", "-u a:", "-----BEGIN PRIVATE KEY-----", "pass=(", "sk-",
    "$2b$", "mysql -p", "<pass ", "pass\n  x", "cookie: a='", "pass=a,", "M", "a1.", "token=[",
    'pass="\\', "pass\\\\\\\"", "secret: |\n a\n", "\u0130password",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_megabyte_of_hostile_text_costs_by_its_length(piece: str) -> None:
    """It is done on the loop, and a base64 blob in an error's text is nothing rare."""

    def cost(length: int) -> float:
        text, costs = piece * (length // len(piece)), []
        for _ in range(2):
            began = time.thread_time()
            masked(text)
            costs.append(time.thread_time() - began)
        return min(costs)

    # Four times the length: four times the cost, or sixteen where it goes back and forth, and that
    # each time; what else the machine does disturbs one or the other.
    for _ in range(5):
        small, large = cost(30_000), cost(120_000)
        # A megabyte takes some 0.1 s on a machine that has nothing else to do.
        if large < 8 * max(small, 0.001) and 8 * large < 1.0:
            return
    raise AssertionError(f"{small:.4f} s for 30,000 characters, {large:.4f} s for 120,000")


def test_a_text_of_very_many_secrets_is_cut() -> None:
    shown = masked("password=x1 " * 100_000)
    assert shown.endswith(CUT)
    assert len(shown) < 200_000


def test_at_a_cut_stands_no_half_of_a_secret() -> None:
    hide("correct-horse-battery-staple")
    for limit in (300, 900):
        for length in range(150, 260, 7):
            text = (
                "x" * length + f" {PEM.format('', LONG)} correct-horse-battery-staple " + "y" * 200
            )
            shown = shortened(text + "z" * 3 * MARGIN + text, limit)
            assert not any(
                part in shown for part in ("MIIE", LONG[:6], "QIBADAN", "horse", "taple")
            )
            assert len(shown) < limit + 100
    assert shortened("short", 100) == "short"
    assert shortened("a" * 5000 + "end", 1000).endswith("end")


@each(
    ("name", "secret"),
    [
        ("DB_PASS", True), ("dbPassword", True), ("X-Api-Key", True), ("apikey", True),
        ("AccountKey", True), ("client_secret", True), ("password2", True), ("sessionid", True),
        ("ENCRYPTION_KEY", True), ("key", False), ("primary_key", False), ("PWD", False),
        ("token_type", False), ("max_tokens", False), ("author", False), ("secretary", False),
        ("passport", False), ("PATH", False), ("", False), ("keyboard", False),
        ("SSH_AUTH_SOCK", False), ("tls.key", True), ("HTTPBasicAuth", True),
    ],
)  # fmt: skip
def test_a_name_tells_whether_it_is_a_secrets(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret


def known(**environment: str) -> KnownSecrets:
    return KnownSecrets(lambda: environment, secrets_in)


@pytest.mark.parametrize(
    "shown",
    [
        "{}", "x{}x", "('a', '{}')",
    ],
)  # fmt: skip
def test_the_values_of_secret_variables_are_masked_wherever_they_stand(shown: str) -> None:
    value = "correct horse/battery+staple?é"
    secrets = known(DB_PASS=value, PATH="/usr/bin:/bin", DEBUG_TOKEN="true", PIN="12")
    raw = value.encode()
    for form in (
        value,
        quote(value),
        quote(value, safe=""),
        quote(value, safe="").lower(),
        repr({"a": value})[7:-2],
        raw.hex(),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(b"bob:" + raw).decode(),
        base64.b64encode(b"ab:" + raw + b"!!").decode(),
    ):
        text = secrets.masked(shown.format(form))
        assert "***" in text, form
        assert "horse" not in text
        assert len(text.replace("***", "")) < len(shown) + 12, form
    assert secrets.masked("true 12 /usr/bin:/bin") == "true 12 /usr/bin:/bin"


def test_a_password_in_a_variable_of_any_name_is_known() -> None:
    secrets = known(BROKER="amqp://guest:sw0rdfish%21@mq/", CONFIG='{"password": "abra-cadabra"}')
    assert secrets.masked("sw0rdfish! sw0rdfish%21 abra-cadabra") == "*** *** ***"


def test_a_variable_that_is_set_later_is_known_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert masked("plain-looking words") == "plain-looking words"
    monkeypatch.setenv("LATE_PASSWORD", "plain-looking")
    assert masked("plain-looking words") == "*** words"
    monkeypatch.delenv("LATE_PASSWORD")
    assert masked("plain-looking words") == "plain-looking words"


def test_a_short_value_is_no_part_of_a_word() -> None:
    secrets = known(A_PASS="item")
    assert secrets.masked("items itemize item, 'item'") == "items itemize ***, '***'"


SURROUNDINGS = [form.replace(S, "\0") for form in FORMS if S in form]
VALUES = st.text(string.ascii_letters + string.digits, min_size=8, max_size=40).filter(
    lambda text: (
        re.search(r"\d", text) is not None
        and re.search(r"[a-z]", text) is not None
        and re.search(r"[A-Z]", text) is not None
    )
)
WORDS = st.lists(
    st.sampled_from(
        [
            "the",
            "item",
            "of",
            "queue",
            "was",
            "written",
            "at",
            "once",
            "12",
            "and",
            "then",
            "some",
            "more",
        ]
    ),
    max_size=6,
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SURROUNDINGS), VALUES, WORDS, WORDS)
def test_a_value_in_known_surroundings_never_survives(
    form: str, value: str, before: str, after: str
) -> None:
    text = f"{before}\n{form}\n{after}".replace("\0", value)
    shown = masked(text)
    assert value not in shown
    # Of a key whose beginning was cut off, a word alone on the line before may be a part.
    assert shown.startswith(before) or "-----END" in form


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*FORMS, *TOKENS, *HARMLESS]), min_size=1, max_size=6))
def test_no_form_hides_another(forms: list[str]) -> None:
    assert S not in masked("\n".join(forms))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_any_text_can_be_masked(text: str) -> None:
    assert isinstance(masked(text), str)


PLAIN = st.lists(
    st.sampled_from(
        [
            "the",
            "item",
            "queue",
            "was",
            "written",
            "to",
            "disk",
            "in",
            "0.12",
            "s",
            "'quoted'",
            "(3",
            "of",
            "4)",
            "{'a':",
            "1}",
            "path=/a/b",
            "n=12",
            "https://host/x",
            "key=4711",
            "2026-01-01T10:00:00Z",
            "65a1b2c3d4e5f60718293a4b",
        ]
    ),
    max_size=30,
).map(" ".join)


@settings(max_examples=100, deadline=None)
@given(PLAIN)
def test_harmless_text_is_unchanged(text: str) -> None:
    assert masked(text) == text
