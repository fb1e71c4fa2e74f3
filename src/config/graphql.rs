//! `graphql.*` and `cors.*`: what the GraphQL endpoint shows, and to which origins.

/// What the GraphQL endpoint shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GraphqlConfig {
    /// `graphql.introspection`: answers introspection and suggests names.
    pub introspection: bool,
    /// `graphql.graphiql`: serves GraphiQL to browsers.
    pub graphiql: bool,
    /// `cors.allow_origins`: origins whose pages may read answers.
    pub allow_origins: Vec<String>,
}
