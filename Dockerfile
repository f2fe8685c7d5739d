# Everything is built in the first stage; the last one holds what the running service needs and nothing else.
FROM node:22.23.3-bookworm-slim AS build
WORKDIR /app
COPY . .
RUN npm ci --ignore-scripts --no-audit --no-fund
RUN NX_DAEMON=false npm run build

# What the API imports at run time: its own packages and those of the workspace projects it uses.
FROM node:22.23.3-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
COPY apps/api/package.json apps/api/
COPY apps/admin/package.json apps/admin/
COPY libs/contracts/package.json libs/contracts/
COPY libs/cache-engine/package.json libs/cache-engine/
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund --workspace=@cache-system/api

FROM node:22.23.3-bookworm-slim
LABEL org.opencontainers.image.title="Cache System" org.opencontainers.image.licenses="MIT"
WORKDIR /app
COPY --from=packages /app ./
COPY --from=build /app/libs/contracts/dist libs/contracts/dist
COPY --from=build /app/libs/cache-engine/dist libs/cache-engine/dist
COPY --from=build /app/apps/api/dist apps/api/dist
COPY --from=build /app/apps/admin/dist apps/admin/dist
# The folder is made here so that a volume put over it belongs to the user that writes there.
RUN mkdir /data && chown node:node /data
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 DATA_DIR=/data
USER node
VOLUME /data
EXPOSE 3000
# The image has no curl.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health/ready`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
CMD ["node", "--max-semi-space-size=64", "--enable-source-maps", "apps/api/dist/entry/server.js"]
