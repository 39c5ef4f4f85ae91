import { newClient } from '../src/accounts/client.ts'

/** A registration as it is met in the field, because its texts are what a family's record is made of. */
export const CLIENT = newClient({
  clientId: 'web-app',
  type: 'public',
  grants: ['password', 'refresh_token'],
  scopes: ['openid', 'profile', 'read', 'write'],
  audiences: ['https://api.example.com'],
})

export const USER_AGENT =
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36'

export const PASSWORD = 'correct horse battery staple'
