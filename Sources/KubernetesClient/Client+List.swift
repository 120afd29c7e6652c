package import KubernetesCore

extension Client {
    /// One answer to a list: everything, or one page when `options` has a limit.
    package func list(
        _ type: ResourceType, namespace: String? = nil, options: ListOptions = ListOptions(), deadline: Moment
    ) throws(APIError) -> ObjectList {
        let request = APIRequest.list(type, namespace: namespace, options: options)
        let json = try perform(request, deadline: deadline)
        do {
            return try ObjectList(json)
        } catch {
            throw .undecodable("\(error)", request.subject)
        }
    }

    /// The whole list, fetched in pages of `options.limit`, 500 unless given.
    ///
    /// All pages show the state at one `resourceVersion`. When the server has forgotten that state before the last page
    /// was fetched, it starts again without pages, as client-go does.
    package func listAll(
        _ type: ResourceType, namespace: String? = nil, options: ListOptions = ListOptions(), deadline: Moment
    ) throws(APIError) -> ObjectList {
        var options = options
        options.limit = options.limit ?? 500
        options.continueToken = nil
        var page = try list(type, namespace: namespace, options: options, deadline: deadline)
        guard page.continueToken != nil else { return page }
        var items = page.items
        while let token = page.continueToken {
            var following = options
            following.continueToken = token
            // The token holds it; the server refuses to be told twice.
            following.resourceVersion = nil
            do {
                page = try list(type, namespace: namespace, options: following, deadline: deadline)
            } catch {
                guard error.isExpired else { throw error }
                options.limit = nil
                return try list(type, namespace: namespace, options: options, deadline: deadline)
            }
            items += page.items
        }
        return ObjectList(items: items, resourceVersion: page.resourceVersion)
    }
}
