# syntax=docker/dockerfile:1
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY scripts ./scripts
COPY src ./src
# The server alone: no test can keep the image from being built.
RUN npx tsc -p tsconfig.build.json && node scripts/finish-build.mjs && npm prune --omit=dev

FROM node:24-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0 KEYS_DIR=/keys STORE_URL=lmdb:/data
# The only two folders that are written; the root file system may be read-only.
RUN install -d -o node -g node -m 0700 /keys /data
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist/src ./dist/src
COPY LICENSE ./
USER node
VOLUME ["/keys", "/data"]
EXPOSE 9000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["node", "dist/src/main.js", "healthcheck"]
# Node as PID 1 gets the signals itself; npm would swallow them.
# The heap for short-lived objects: docs/operations.md, Memory.
ENTRYPOINT ["node", "--max-semi-space-size=4", "dist/src/main.js"]
CMD ["serve"]
