# ruby-oauth2 with Pawl.
#
# What it needs: token_url; auth_scheme, whose default was :request_body up to version 1 and is :basic_auth since 2;
# a private authority in SSL_CERT_FILE.
require 'oauth2'
require_relative 'check'

ISSUER = ENV.fetch('PAWL_ISSUER')
USER = [ENV.fetch('PAWL_USERNAME'), ENV.fetch('PAWL_PASSWORD')].freeze
APP = ENV.fetch('PAWL_APP_ID')
BACKEND = [ENV.fetch('PAWL_BACKEND_ID'), ENV.fetch('PAWL_BACKEND_SECRET')].freeze

def client(id, secret, auth_scheme)
  OAuth2::Client.new(id, secret, site: ISSUER, token_url: "#{ISSUER}/token", auth_scheme: auth_scheme)
end

# The library has no call for it; this is one with what it has.
def revoke(client, token)
  authenticator = OAuth2::Authenticator.new(client.id, client.secret, client.options[:auth_scheme])
  body = authenticator.apply('token' => token.refresh_token, 'token_type_hint' => 'refresh_token')
  headers = body.delete(:headers) || {}
  client.request(:post, "#{ISSUER}/revoke", body: body, headers: headers)
end

[
  # A public client's secret is empty; either scheme will do.
  ['none', client(APP, '', :request_body)],
  ['client_secret_basic', client(*BACKEND, :basic_auth)],
  ['client_secret_post', client(*BACKEND, :request_body)]
].each do |method, client|
  token = nil
  check "password by #{method}" do
    token = client.password.get_token(*USER)
    expect token['scope'], 'read write'
  end
  check "refresh by #{method}" do
    # Every refresh brings another refresh token: go on with what refresh! returns.
    second = token.refresh!
    third = second.refresh!
    expect [token, second, third].map(&:refresh_token).uniq.size, 3
    token = third
  end
  check "revocation by #{method}" do
    revoke(client, token)
    expect_error('invalid_grant') { token.refresh! }
  end
  next if method == 'none'

  check "client credentials by #{method}" do
    expect client.client_credentials.get_token.refresh_token, nil
  end
end

check 'password by none: with Basic' do
  client(APP, '', :basic_auth).password.get_token(*USER).refresh!
end
check 'password: a wrong one' do
  expect_error('invalid_grant') { client(APP, '', :request_body).password.get_token(USER[0], 'wrong') }
end
check 'client credentials: a wrong secret' do
  expect_error('invalid_client') { client(BACKEND[0], 'wrong', :basic_auth).client_credentials.get_token }
end

finish
