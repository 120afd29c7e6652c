import IPAMAPI
package import JSONText
package import KubernetesClient
package import KubernetesCore

/// Reads what commands need, in pages, and says how far it is.
package struct ClusterReader {
    package static let pageSize = 500
    /// How many objects are read side by side.
    private static let batchSize = 32
    private static let maximumAttempts = 3

    package let client: Client
    /// How long one request may take, with its repetitions.
    package let timeout: Duration
    /// Is told what is being read and how much of it is there.
    let progress: (String, Int) -> Void

    package init(_ client: Client, timeout: Duration, progress: @escaping (String, Int) -> Void = { _, _ in }) {
        self.client = client
        self.timeout = timeout
        self.progress = progress
    }

    package func now() -> Moment { client.transport.now() }
    package var deadline: Moment { now() + timeout }

    /// A whole list as the values that `transform` makes of its objects, which themselves are not kept.
    ///
    /// All pages show one state. When the server has forgotten it before the last page, it begins anew without pages.
    package func list<Value>(
        _ type: ResourceType, namespace: String? = nil, options: ListOptions = ListOptions(),
        transform: (JSON) throws -> Value?
    ) throws -> [Value] {
        try list(type, namespace: namespace, options, isNone: { _ in false }, transform) ?? []
    }

    /// The same of every namespace; nil where the server does not know the kind.
    func listIfServed<Value>(_ type: ResourceType, transform: (JSON) throws -> Value?) throws -> [Value]? {
        try list(type, namespace: nil, ListOptions(), isNone: \.isUnserved, transform)
    }

    /// The same of every namespace; nil where that may not be listed.
    func listIfAllowed<Value>(
        _ type: ResourceType, options: ListOptions, transform: (JSON) throws -> Value?
    ) throws -> [Value]? {
        try list(type, namespace: nil, options, isNone: \.isForbidden, transform)
    }

    /// - Parameter isNone: Whether a failure means that there is no list.
    private func list<Value>(
        _ type: ResourceType, namespace: String?, _ options: ListOptions, isNone: (APIError) -> Bool,
        _ transform: (JSON) throws -> Value?
    ) throws -> [Value]? {
        var options = options
        options.limit = Self.pageSize
        var values: [Value] = []
        let subject = type.plural
        progress(subject, 0)
        while true {
            let page: ObjectList
            do throws(APIError) {
                page = try self.page(.list(type, namespace: namespace, options: options))
            } catch {
                if isNone(error) { return nil }
                guard error.isExpired, options.limit != nil else { throw ConsoleError(error) }
                values = []
                (options.limit, options.continueToken) = (nil, nil)
                continue
            }
            for item in page.items {
                if let value = try transform(item) { values.append(value) }
            }
            progress(subject, values.count)
            guard let token = page.continueToken else { return values }
            options.continueToken = token
            // The token holds it.
            options.resourceVersion = nil
        }
    }

    private func page(_ request: APIRequest) throws(APIError) -> ObjectList {
        let json = try perform(request)
        do {
            return try ObjectList(json)
        } catch {
            throw .undecodable("\(error)", request.subject)
        }
    }

    /// Performs a request that may be made twice. A server that cannot be reached, or lacks the kind of object, is asked
    /// ``maximumAttempts`` times, for a person waits; one that is busy for as long as the timeout lets it.
    package func perform(_ request: APIRequest) throws(APIError) -> JSON {
        let deadline = deadline
        var attempts = 0
        while true {
            let reply = client.transport.perform([request.limited(to: deadline - now())], deadline: deadline)[0]
            switch interpret(reply, to: request) {
            case .success(let json): return json
            case .failure(let error):
                attempts += 1
                guard case .transient(let retryAfter) = error.disposition,
                    error.status != nil && !error.isUnserved || attempts < Self.maximumAttempts
                else { throw error }
                let pause = max(retryAfter ?? .zero, .milliseconds(250 << min(attempts - 1, 3)))
                guard now() + pause < deadline else { throw error }
                client.transport.sleep(until: now() + pause)
            }
        }
    }

    /// The object as it is in etcd; nil when that proves that there is none.
    package func read(
        _ type: ResourceType, namespace: String? = nil, name: String
    ) throws(ConsoleError) -> JSON? {
        do throws(APIError) {
            return try perform(.get(type, namespace: namespace, name: name))
        } catch {
            guard error.isNotFound else { throw ConsoleError(error) }
            return nil
        }
    }

    /// Many objects as they are in etcd, in the order of the requests.
    package func read(_ requests: [APIRequest], what: String) throws(ConsoleError) -> [JSON?] {
        var objects: [JSON?] = []
        var start = 0
        while start < requests.count {
            let batch = Array(requests[start..<min(start + Self.batchSize, requests.count)])
            let replies = client.transport.perform(batch, deadline: deadline)
            for (reply, request) in zip(replies, batch) {
                switch interpret(reply, to: request) {
                case .success(let object): objects.append(object)
                case .failure(let error) where error.isNotFound: objects.append(nil)
                case .failure: objects.append(try repeated(request))
                }
            }
            start += batch.count
            progress(what, start)
        }
        return objects
    }

    private func repeated(_ request: APIRequest) throws(ConsoleError) -> JSON? {
        do throws(APIError) {
            return try perform(request)
        } catch {
            guard error.isNotFound else { throw ConsoleError(error) }
            return nil
        }
    }
}
