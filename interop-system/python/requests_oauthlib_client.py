"""requests-oauthlib with Pawl.

What it needs: https, or OAUTHLIB_INSECURE_TRANSPORT=1 in development; a private authority in REQUESTS_CA_BUNDLE.
"""
import os

from check import check, finish, raises
from oauthlib.oauth2 import (
    BackendApplicationClient,
    InvalidClientError,
    InvalidGrantError,
    InvalidScopeError,
    LegacyApplicationClient,
)
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

env = os.environ
TOKEN = env['PAWL_ISSUER'] + '/token'
REVOKE = env['PAWL_ISSUER'] + '/revoke'
JWKS = env['PAWL_ISSUER'] + '/.well-known/jwks.json'
USER = {'username': env['PAWL_USERNAME'], 'password': env['PAWL_PASSWORD']}
APP = env['PAWL_APP_ID']
BACKEND, SECRET = env['PAWL_BACKEND_ID'], env['PAWL_BACKEND_SECRET']


def revoke(session, client, auth=None, **in_body):
    """The library prepares the request, and leaves it to you to send it."""
    token = session.token['refresh_token']
    url, headers, body = client.prepare_token_revocation_request(REVOKE, token, 'refresh_token', **in_body)
    session.post(url, data=body, headers=headers, auth=auth, withhold_token=True).raise_for_status()


def rotates(session, **kwargs):
    """Every refresh brings another refresh token, and the session goes on with that one."""
    seen = {session.token['refresh_token']}
    for _ in range(2):
        session.refresh_token(TOKEN, **kwargs)
        seen.add(session.token['refresh_token'])
    assert len(seen) == 3, seen


# A public client. The library sends it as Basic with an empty secret at sign-in; at a refresh, it has to be told.
app_client = LegacyApplicationClient(APP)
app = OAuth2Session(client=app_client)
with check('password by none'):
    app.fetch_token(TOKEN, **USER)
    assert app.token['scope'] == ['read', 'write'], app.token['scope']
with check('refresh by none'):
    rotates(app, client_id=APP)
with check('revocation by none'):
    revoke(app, app_client, client_id=APP)
    with raises(InvalidGrantError, 'invalid_grant'):
        app.refresh_token(TOKEN, client_id=APP)
with check('password: a wrong one'), raises(InvalidGrantError, 'invalid_grant'):
    app.fetch_token(TOKEN, username=USER['username'], password='wrong')

with check('automatic refresh by none'):
    kept = []  # where your program keeps the tokens
    app = OAuth2Session(
        client=LegacyApplicationClient(APP),
        auto_refresh_url=TOKEN,
        auto_refresh_kwargs={'client_id': APP},
        token_updater=kept.append,
    )
    old = app.fetch_token(TOKEN, **USER)
    app.token = {**old, 'expires_at': 1}
    app.get(JWKS).raise_for_status()
    assert len(kept) == 1 and kept[0]['refresh_token'] != old['refresh_token'], kept

# A confidential client, by Basic.
basic = HTTPBasicAuth(BACKEND, SECRET)
backend_client = LegacyApplicationClient(BACKEND)
backend = OAuth2Session(client=backend_client)
with check('password by client_secret_basic'):
    backend.fetch_token(TOKEN, auth=basic, **USER)
with check('refresh by client_secret_basic'):
    rotates(backend, auth=basic)
with check('revocation by client_secret_basic'):
    revoke(backend, backend_client, auth=basic)
    with raises(InvalidGrantError, 'invalid_grant'):
        backend.refresh_token(TOKEN, auth=basic)
with check('client credentials by client_secret_basic'):
    service = OAuth2Session(client=BackendApplicationClient(BACKEND))
    token = service.fetch_token(TOKEN, client_secret=SECRET)
    assert 'refresh_token' not in token
with check('client credentials: a wrong secret'), raises(InvalidClientError, 'invalid_client'):
    service.fetch_token(TOKEN, client_secret='wrong')

# The same with the secret in the body.
in_body = {'client_id': BACKEND, 'client_secret': SECRET}
with check('password by client_secret_post'):
    backend.fetch_token(TOKEN, include_client_id=True, client_secret=SECRET, **USER)
with check('refresh by client_secret_post'):
    rotates(backend, **in_body)
with check('revocation by client_secret_post'):
    revoke(backend, backend_client, **in_body)
    with raises(InvalidGrantError, 'invalid_grant'):
        backend.refresh_token(TOKEN, **in_body)
with check('client credentials by client_secret_post'):
    service.fetch_token(TOKEN, include_client_id=True, client_secret=SECRET)

# The scope rule: when the scope of an answer is not the one that the session was made with, the library raises a Warning
# and returns no token. It sends the session's scope with each request, and Pawl grants what is asked for or refuses it, so
# that this comes only from asking for another scope in between.
with check('scope rule: what was asked for is what is granted'):
    client = LegacyApplicationClient(APP, scope=['read'])
    session = OAuth2Session(client=client)
    assert session.fetch_token(TOKEN, **USER)['scope'] == ['read']
    rotates(session, client_id=APP)

session = OAuth2Session(client=LegacyApplicationClient(APP), scope=['read', 'write'])
with check('scope rule: another scope than the session was made with'), raises(Warning, 'Scope has changed'):
    session.fetch_token(TOKEN, scope=['read'], **USER)
with check('scope rule: OAUTHLIB_RELAX_TOKEN_SCOPE'):
    os.environ['OAUTHLIB_RELAX_TOKEN_SCOPE'] = '1'
    assert session.fetch_token(TOKEN, scope=['read'], **USER)['scope'] == ['read']
    del os.environ['OAUTHLIB_RELAX_TOKEN_SCOPE']

# A scope was taken from this client's registration after the sign-in.
narrowed = {'client_id': env['PAWL_NARROWED_ID'], 'refresh_token': env['PAWL_NARROWED_REFRESH_TOKEN']}
with check('scope rule: a session with the scope that is gone is refused'), raises(InvalidScopeError, 'invalid_scope'):
    OAuth2Session(client=LegacyApplicationClient(APP, scope=['read', 'write'])).refresh_token(TOKEN, **narrowed)
with check('scope rule: a session without a scope gets what is left'):
    session = OAuth2Session(client=LegacyApplicationClient(APP))
    assert session.refresh_token(TOKEN, **narrowed)['scope'] == ['read']

finish()
