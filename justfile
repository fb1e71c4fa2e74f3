# Each recipe calls a piece of `./test` or of cargo; `./test` is the one entry that runs everything.

# All checks of the Rust code, as in CI.
check: fmt-check lint doc test deny

fmt:
    cargo fmt

fmt-check:
    ./test fmt

lint:
    ./test lint

doc:
    ./test doc

test *args:
    cargo test --locked {{args}}

deny:
    ./test deny

# Accepts new inline snapshots.
accept:
    INSTA_UPDATE=always INSTA_FORCE_PASS=1 cargo insta test --accept

# Writes schema.graphql, and the subgraph and supergraph of the example.
schema:
    cargo run --quiet --locked -- schema > schema.graphql
    cargo run --quiet --locked -- schema --federation > examples/federation/recordings.graphql
    cd examples/federation && npm ci && node compose.mjs > supergraph.graphql

# Writes docs/SETTINGS.md.
docs:
    UPDATE_DOCS=1 cargo test --locked --lib settings_page

# Retakes the pictures of the documents.
pictures:
    PICTURES="$PWD/docs/pictures" ./test browser

# Rebuilds GraphiQL from its pinned releases.
graphiql:
    web/graphiql/build

# Rebuilds the console from web/console.
console:
    cd web/console && npm ci && npm run build

demo:
    cargo run --locked -- demo

serve *args:
    cargo run --release --locked -- serve {{args}}

# The gateway and the simulator in containers.
up:
    docker compose up --build

# Fuzzes with libFuzzer; see docs/FUZZING.md.
fuzz *args:
    fuzz/run {{args}}

# Builds a release archive from what is committed.
release:
    deploy/release

# What a request costs, compared with servers that do less; see docs/PERFORMANCE.md.
measure *args:
    bench/run {{args}}

# Accepts the instructions that a request takes now.
baseline:
    BENCH_PROFILE=dev bench/run --instructions --update

# Ten minutes of load with faults on all sides; writes docs/SOAK.md.
soak *minutes:
    tests/soak/run {{minutes}}
