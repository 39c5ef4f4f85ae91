// Libraries without types of their own.
declare module 'express'
declare module 'simple-oauth2'
