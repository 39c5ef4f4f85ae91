"""Authlib with Pawl, as a client and as a resource server.

What it needs: a private authority in REQUESTS_CA_BUNDLE.
"""
import json
import os

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, JsonWebToken
from authlib.jose.errors import JoseError
from authlib.oauth2.rfc8414 import get_well_known_url
from check import check, finish, raises

env = os.environ
ISSUER = env['PAWL_ISSUER']
USER = {'username': env['PAWL_USERNAME'], 'password': env['PAWL_PASSWORD']}
APP = env['PAWL_APP_ID']
BACKEND, SECRET = env['PAWL_BACKEND_ID'], env['PAWL_BACKEND_SECRET']
API, API_SECRET = env['PAWL_API_ID'], env['PAWL_API_SECRET']

with check('discovery'):
    metadata = requests.get(get_well_known_url(ISSUER, external=True)).json()
    assert metadata['issuer'] == ISSUER
TOKEN, REVOKE = metadata['token_endpoint'], metadata['revocation_endpoint']
INTROSPECT = metadata['introspection_endpoint']


def session_of(client_id, secret, method):
    return OAuth2Session(
        client_id,
        secret,
        token_endpoint_auth_method=method,
        # It goes for introspection as well. When it is not given, it is Basic wherever there is a secret.
        revocation_endpoint_auth_method=method,
        token_endpoint=TOKEN,
    )


def rotates(session):
    """Every refresh brings another refresh token, and the session goes on with that one."""
    seen = {session.token['refresh_token']}
    for _ in range(2):
        session.refresh_token(TOKEN)
        seen.add(session.token['refresh_token'])
    assert len(seen) == 3, seen


def is_active(token, method):
    """What the resource server is told about a token."""
    api = session_of(API, API_SECRET, method)
    return api.introspect_token(INTROSPECT, token=token).json()['active']


for method in ('none', 'client_secret_basic', 'client_secret_post'):
    client_id, secret = (APP, None) if method == 'none' else (BACKEND, SECRET)
    api_method = 'client_secret_basic' if method == 'none' else method

    session = session_of(client_id, secret, method)
    with check(f'password by {method}'):
        token = session.fetch_token(**USER)
        assert token['scope'] == 'read write', token['scope']
    with check(f'refresh by {method}'):
        rotates(session)
    with check(f'introspection by {api_method}'):
        assert is_active(session.token['access_token'], api_method) is True
    with check(f'revocation by {method}'):
        session.revoke_token(REVOKE, token_type_hint='refresh_token').raise_for_status()
        assert is_active(session.token['access_token'], api_method) is False
        with raises(OAuthError, 'invalid_grant'):
            session.refresh_token(TOKEN)
    if secret:
        with check(f'client credentials by {method}'):
            service = session_of(client_id, secret, method)
            token = service.fetch_token(grant_type='client_credentials')
            assert 'refresh_token' not in token

with check('password: a wrong one'), raises(OAuthError, 'invalid_grant'):
    session_of(APP, None, 'none').fetch_token(username=USER['username'], password='wrong')
with check('client credentials: a wrong secret'), raises(OAuthError, 'invalid_client'):
    session_of(BACKEND, 'wrong', 'client_secret_basic').fetch_token(grant_type='client_credentials')

with check('automatic refresh by none'):
    kept = []  # where your program keeps the tokens
    session = session_of(APP, None, 'none')
    session.update_token = lambda token, refresh_token: kept.append(token)
    old = session.fetch_token(**USER)
    session.token = {**old, 'expires_at': 1}
    session.get(metadata['jwks_uri']).raise_for_status()
    assert len(kept) == 1 and kept[0]['refresh_token'] != old['refresh_token'], kept

# As a resource server. The algorithms have to be named, and every claim that has to be there. Keys come and go: a server
# that runs for long fetches them again, at the latest when a token names one that is not there.
jwt = JsonWebToken(['RS256'])
keys = JsonWebKey.import_key_set(requests.get(metadata['jwks_uri']).json())


def verify(token):
    claims = jwt.decode(
        token,
        keys,
        claims_options={
            'iss': {'essential': True, 'value': ISSUER},
            'aud': {'essential': True, 'value': env['PAWL_AUDIENCE']},
            'exp': {'essential': True},
            'client_id': {'essential': True},
        },
    )
    claims.validate()
    # RFC 9068 section 4; the library leaves it to you.
    if claims.header['typ'] != 'at+jwt':
        raise JoseError('not an access token')
    return claims


with check('good'):
    assert verify(env['PAWL_GOOD_TOKEN'])['scope'] == 'read write'
for feature, tokens in json.loads(env['PAWL_BAD_TOKENS']).items():
    for kind, token in tokens.items():
        with check(f'refuses {feature}: {kind}'), raises((JoseError, ValueError), ''):
            verify(token)

finish()
