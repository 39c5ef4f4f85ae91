// golang.org/x/oauth2 with Pawl.
//
// What it needs: the address of the token endpoint, since it does not discover; a private authority in SSL_CERT_FILE.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

var (
	tokenURL           = os.Getenv("PAWL_ISSUER") + "/token"
	username, password = os.Getenv("PAWL_USERNAME"), os.Getenv("PAWL_PASSWORD")
	appID              = os.Getenv("PAWL_APP_ID")
	backendID, secret  = os.Getenv("PAWL_BACKEND_ID"), os.Getenv("PAWL_BACKEND_SECRET")
)

func configOf(id, secret string, style oauth2.AuthStyle) *oauth2.Config {
	endpoint := oauth2.Endpoint{TokenURL: tokenURL, AuthStyle: style}
	return &oauth2.Config{ClientID: id, ClientSecret: secret, Endpoint: endpoint}
}

func serviceOf(secret string, style oauth2.AuthStyle) *clientcredentials.Config {
	return &clientcredentials.Config{ClientID: backendID, ClientSecret: secret, TokenURL: tokenURL, AuthStyle: style}
}

// rotates lets a token expire twice: each time the library fetches another with the newest refresh token.
func rotates(ctx context.Context, config *oauth2.Config, token *oauth2.Token) error {
	seen := map[string]bool{token.RefreshToken: true}
	for i := 0; i < 2; i++ {
		// The library refreshes by itself once Expiry is over. Keep what it returns: the old refresh token is used up.
		token.Expiry = time.Now().Add(-time.Second)
		next, err := config.TokenSource(ctx, token).Token()
		if err != nil {
			return err
		}
		seen[next.RefreshToken] = true
		token = next
	}
	if len(seen) != 3 {
		return fmt.Errorf("%d different refresh tokens instead of 3", len(seen))
	}
	return nil
}

func exercise(ctx context.Context, method string, config *oauth2.Config) {
	var token *oauth2.Token
	check("password by "+method, func() (err error) {
		token, err = config.PasswordCredentialsToken(ctx, username, password)
		if err == nil && token.Extra("scope") != "read write" {
			err = fmt.Errorf("scope %v", token.Extra("scope"))
		}
		return err
	})
	if token == nil {
		return
	}
	check("refresh by "+method, func() error { return rotates(ctx, config, token) })
	if config.ClientSecret == "" {
		return
	}
	check("client credentials by "+method, func() error {
		token, err := serviceOf(config.ClientSecret, config.Endpoint.AuthStyle).Token(ctx)
		if err == nil && token.RefreshToken != "" {
			err = fmt.Errorf("there is a refresh token")
		}
		return err
	})
}

// counter counts what goes over the wire.
type counter struct{ requests int }

func (c *counter) RoundTrip(request *http.Request) (*http.Response, error) {
	c.requests++
	return http.DefaultTransport.RoundTrip(request)
}

func main() {
	wire := &counter{}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Transport: wire})

	exercise(ctx, "none", configOf(appID, "", oauth2.AuthStyleInParams))
	exercise(ctx, "none: Basic", configOf(appID, "", oauth2.AuthStyleInHeader))
	exercise(ctx, "client_secret_basic", configOf(backendID, secret, oauth2.AuthStyleInHeader))
	exercise(ctx, "client_secret_post", configOf(backendID, secret, oauth2.AuthStyleInParams))

	// AuthStyleAutoDetect is the default: until a call has succeeded, each that fails is sent once more, with the other
	// method.
	detecting := configOf(backendID, secret, oauth2.AuthStyleAutoDetect)
	check("AuthStyleAutoDetect: a failing call is sent twice, and the error is that of the grant", func() error {
		before := wire.requests
		_, err := detecting.PasswordCredentialsToken(ctx, username, "wrong")
		if sent := wire.requests - before; sent != 2 {
			return fmt.Errorf("%d requests", sent)
		}
		return refused(err, "invalid_grant")
	})
	check("AuthStyleAutoDetect: calls that fail for another reason than the secret are not throttled", func() (err error) {
		for i := 0; i < 60 && err == nil; i++ {
			_, failure := detecting.TokenSource(ctx, &oauth2.Token{RefreshToken: "unknown"}).Token()
			err = refused(failure, "invalid_grant")
		}
		return err
	})
	check("AuthStyleAutoDetect: a wrong secret", func() error {
		_, err := serviceOf("wrong", oauth2.AuthStyleAutoDetect).Token(ctx)
		return refused(err, "invalid_client")
	})
	check("AuthStyleAutoDetect: wrong secrets are throttled after a while", func() (err error) {
		for i := 0; i < 60; i++ {
			_, err = serviceOf("wrong", oauth2.AuthStyleAutoDetect).Token(ctx)
		}
		return refused(err, "429")
	})
	check("AuthStyleAutoDetect: and the right secret is still taken", func() error {
		_, err := configOf(backendID, secret, oauth2.AuthStyleInHeader).PasswordCredentialsToken(ctx, username, password)
		return err
	})
	exercise(ctx, "client_secret_basic: AuthStyleAutoDetect", detecting)

	finish()
}
