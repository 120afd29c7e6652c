package import KubernetesCore

/// What carries requests to the API server for programs that wait without holding a thread.
package protocol AsyncTransport: Sendable {
    /// Always has a reply by the deadline. When the task is cancelled the reply is the failure `.cancelled`, unless
    /// there was one before.
    func perform(_ request: APIRequest, deadline: Moment) async -> Reply
}
