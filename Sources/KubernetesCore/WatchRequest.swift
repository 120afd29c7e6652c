/// Which changes a watch reports, and from where on.
package struct WatchOptions: Hashable, Sendable {
    /// In the server's syntax, for example `app=web,tier!=db`.
    package var labelSelector: String?
    /// For example `status.phase=Failed`.
    package var fieldSelector: String?
    /// Changes after this version are reported; the version that a list or an earlier event carried.
    package var resourceVersion: String
    /// Asks for an event now and then that carries nothing but a newer `resourceVersion`, about once a minute while the
    /// watch is quiet. The server promises none.
    package var allowWatchBookmarks: Bool
    /// After how many seconds the server ends the watch; nil leaves it to the server, half an hour to an hour.
    package var timeoutSeconds: Int?
    /// Only `metadata` of each object, as PartialObjectMetadata.
    package var metadataOnly: Bool

    package init(
        labelSelector: String? = nil, fieldSelector: String? = nil, resourceVersion: String,
        allowWatchBookmarks: Bool = true, timeoutSeconds: Int? = nil, metadataOnly: Bool = false
    ) {
        self.labelSelector = labelSelector
        self.fieldSelector = fieldSelector
        self.resourceVersion = resourceVersion
        self.allowWatchBookmarks = allowWatchBookmarks
        self.timeoutSeconds = timeoutSeconds
        self.metadataOnly = metadataOnly
    }

    var queryItems: [APIRequest.QueryItem] {
        var items = [APIRequest.QueryItem("watch", "1")]
        if let labelSelector { items.append(.init("labelSelector", labelSelector)) }
        if let fieldSelector { items.append(.init("fieldSelector", fieldSelector)) }
        items.append(.init("resourceVersion", resourceVersion))
        if allowWatchBookmarks { items.append(.init("allowWatchBookmarks", "true")) }
        if let timeoutSeconds { items.append(.init("timeoutSeconds", String(timeoutSeconds))) }
        return items
    }
}

extension APIRequest {
    /// The answer is a stream of `WatchEvent`, one on each line, that ends when the server wants it to. Without a
    /// namespace it reports the objects of all namespaces.
    package static func watch(
        _ type: ResourceType, namespace: String? = nil, options: WatchOptions
    ) -> APIRequest {
        APIRequest(
            method: .get,
            path: type.path(namespace: namespace, name: nil),
            query: options.queryItems,
            headers: [options.metadataOnly ? .acceptMetadata : .acceptJSON],
            subject: Subject(verb: .watch, resource: type, namespace: namespace))
    }
}
