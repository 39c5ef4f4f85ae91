"""A resource server with PyJWT.

What it needs: a private authority in SSL_CERT_FILE.
"""
import json
import os

import jwt
from check import check, finish, raises

env = os.environ
ISSUER = env['PAWL_ISSUER']
keys = jwt.PyJWKClient(ISSUER + '/.well-known/jwks.json')


def verify(token):
    return jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token).key,
        algorithms=['RS256'],
        issuer=ISSUER,
        audience=env['PAWL_AUDIENCE'],
        # It does not look at the header's typ; only an access token has all of these.
        options={'require': ['exp', 'iat', 'sub', 'client_id', 'jti']},
    )


with check('good'):
    assert verify(env['PAWL_GOOD_TOKEN'])['scope'] == 'read write'
for feature, tokens in json.loads(env['PAWL_BAD_TOKENS']).items():
    for kind, token in tokens.items():
        with check(f'refuses {feature}: {kind}'), raises(jwt.PyJWTError, ''):
            verify(token)

finish()
