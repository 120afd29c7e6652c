# The images of hack/image.sh, for those who have a container engine. The executables are built first, because they are
# static and need no engine:
#
#   hack/build.sh --all
#   docker build --target berth-controller --tag berth-controller:0.1.0 .
#   docker build --target berth-node --tag berth-node:0.1.0 .

FROM scratch AS berth-controller
COPY dist/berth-controller /berth-controller
USER 65532:65532
ENTRYPOINT ["/berth-controller"]

# Root: it installs files on the node.
FROM scratch AS berth-node
COPY dist/berth-node dist/berth /
USER 0:0
ENTRYPOINT ["/berth-node"]
