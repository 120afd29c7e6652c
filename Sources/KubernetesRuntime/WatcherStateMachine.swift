package import KubernetesCore

/// Which objects a watcher follows.
package struct WatchScope: Hashable, Sendable {
    package var type: ResourceType
    /// Nil for those of all namespaces.
    package var namespace: String?
    package var labelSelector: String?
    package var fieldSelector: String?
    package var metadataOnly: Bool

    package init(
        _ type: ResourceType, namespace: String? = nil, labelSelector: String? = nil, fieldSelector: String? = nil,
        metadataOnly: Bool = false
    ) {
        self.type = type
        self.namespace = namespace
        self.labelSelector = labelSelector
        self.fieldSelector = fieldSelector
        self.metadataOnly = metadataOnly
    }
}

package struct WatcherLimits: Hashable, Sendable {
    /// Objects in one page of a list that does not come from the server's cache.
    package var pageSize: Int
    /// Seconds after which the server is to end a watch; a random one of them, so that watches do not end together.
    package var watchSeconds: ClosedRange<Int>
    /// Without a byte; more than the minute between two bookmarks.
    package var stall: Duration
    package var backoff: Backoff
    /// A watch that lasted so long was a success, however it ends.
    package var soundWatch: Duration
    /// After so many refusals in a row to go on from a version the watcher lists anew.
    package var maximumRefusals: Int

    package init(
        pageSize: Int = 1000, watchSeconds: ClosedRange<Int> = 300...600, stall: Duration = .seconds(150),
        backoff: Backoff = Backoff(base: .milliseconds(200), cap: .seconds(30)),
        soundWatch: Duration = .milliseconds(900), maximumRefusals: Int = 3
    ) {
        self.pageSize = pageSize
        self.watchSeconds = watchSeconds
        self.stall = stall
        self.backoff = backoff
        self.soundWatch = soundWatch
        self.maximumRefusals = maximumRefusals
    }
}

/// List, then watch, for ever: what to ask the API server next, and what to do with its answers.
///
/// Flow: list what there is, page by page; commit the list; watch from its version on. Every event and bookmark moves
/// the version on. A watch that ends is opened again from there. Only when the server does not know that version any
/// more (410), or refuses it again and again, the watcher lists anew.
///
/// | Phase | Meaning |
/// |---|---|
/// | empty | nothing asked yet |
/// | listing | a page is on its way |
/// | listed | the last page is here, and the store is to take the list over |
/// | opening | a watch was asked for |
/// | watching | a watch is open |
/// | pausing | after a failure |
/// | stopped | for good |
///
/// The first list may come from any server's cache (`resourceVersion=0`). One after a 410 may not be older than what was
/// seen before. One after other refusals is read from etcd in pages: the versions themselves are in doubt then, for
/// example after a restore.
///
/// Guarantees: no change is left out without a new list. A version is given to the server only as it came from it.
/// Pauses are random, bounded, and begin small again after a success: a page, an event, a bookmark, or a watch that
/// lasted. Those between lists that failed watches lead to begin small again only after a success of a watch.
///
/// Assumptions: inputs come in the order in which things happened, each as the answer to the last action; others change
/// nothing and are answered `ignore`.
///
/// Caveats: failures of every kind are waited out, missing permissions and unknown kinds too: somebody may grant or
/// install them. The shell reports them.
package struct WatcherStateMachine: Sendable {
    package enum ListMode: Hashable, Sendable {
        /// From the server's cache, of any age.
        case any
        /// From the server's cache, not older than a version.
        case notOlderThan(String)
        /// From etcd, in pages.
        case mostRecent
        /// From etcd in one answer: its pages had expired before the last was there.
        case mostRecentWhole
    }

    package enum Phase: Hashable, Sendable {
        case empty
        case listing(ListMode, ListOptions)
        case listed(resourceVersion: String)
        case opening(resourceVersion: String)
        case watching(resourceVersion: String, since: Moment)
        case pausing(Resumption)
        case stopped
    }

    package enum Resumption: Hashable, Sendable {
        /// The next page, or the first one.
        case list(ListMode, ListOptions)
        case watch(resourceVersion: String)
    }

    package enum Input: Equatable, Sendable {
        case start
        /// A page, whose items the store has staged.
        case page(resourceVersion: String, continueToken: String?)
        case committed
        case opened
        /// An added, changed or deleted object.
        case event(resourceVersion: String)
        case bookmark(resourceVersion: String)
        /// The watch ended as it should.
        case ended
        /// The request failed, or the watch broke, stalled, brought an ERROR event or something that cannot be read.
        case failed(APIError)
        /// The pause is over.
        case resumed
        case stop
    }

    package enum Action: Equatable, Sendable {
        /// `begins` forgets what was staged.
        case list(ListOptions, begins: Bool)
        /// The staged objects become the store's content.
        case commit(resourceVersion: String)
        case watch(WatchOptions)
        /// The event goes to the store; then the next one is read.
        case apply
        case read
        case pause(until: Moment)
        case stop
        case ignore
    }

    private let scope: WatchScope
    private let limits: WatcherLimits
    package private(set) var phase = Phase.empty
    private var failures = 0
    private var refusals = 0
    /// Lists that watches led to by failing, without a success of a watch between them.
    private var relists = 0

    package init(_ scope: WatchScope, limits: WatcherLimits = WatcherLimits()) {
        self.scope = scope
        self.limits = limits
    }

    package mutating func handle(
        _ input: Input, now: Moment, using generator: inout some RandomNumberGenerator
    ) -> Action {
        switch (phase, input) {
        case (.stopped, _), (_, .stop):
            phase = .stopped
            return .stop
        case (.empty, .start): return list(.any)
        case (.listing(let mode, var options), .page(let version, let token)):
            if let token {
                failures = 0
                options.continueToken = token
                // The token holds it; the server refuses to be told twice.
                options.resourceVersion = nil
                return resume(.list(mode, options), using: &generator)
            }
            guard !version.isEmpty else {
                return pause(.list(mode, firstPage(mode)), nil, now: now, using: &generator)
            }
            failures = 0
            refusals = 0
            phase = .listed(resourceVersion: version)
            return .commit(resourceVersion: version)
        case (.listing(let mode, let options), .failed(let error)):
            return listFailed(mode, options, error, now: now, using: &generator)
        case (.listed(let version), .committed):
            return resume(.watch(resourceVersion: version), using: &generator)
        case (.opening(let version), .opened):
            phase = .watching(resourceVersion: version, since: now)
            return .read
        case (.opening(let version), .failed(let error)):
            return watchFailed(version, error, now: now, using: &generator)
        case (.watching(_, let since), .event(let version)):
            advance(to: version, since)
            return .apply
        case (.watching(_, let since), .bookmark(let version)):
            advance(to: version, since)
            return .read
        case (.watching(let version, let since), .ended):
            guard now - since >= limits.soundWatch else {
                return pause(.watch(resourceVersion: version), nil, now: now, using: &generator)
            }
            succeed()
            return resume(.watch(resourceVersion: version), using: &generator)
        case (.watching(let version, let since), .failed(let error)):
            if now - since >= limits.soundWatch { succeed() }
            return watchFailed(version, error, now: now, using: &generator)
        case (.pausing(let resumption), .resumed): return resume(resumption, using: &generator)
        case (.empty, _), (.listing, _), (.listed, _), (.opening, _), (.watching, _), (.pausing, _): return .ignore
        }
    }

    private mutating func advance(to version: String, _ since: Moment) {
        succeed()
        refusals = 0
        phase = .watching(resourceVersion: version, since: since)
    }

    /// A list alone is no success after a watch has failed: a server that refuses every watch would be asked for list
    /// after list.
    private mutating func succeed() {
        failures = 0
        relists = 0
    }

    private mutating func listFailed(
        _ mode: ListMode, _ options: ListOptions, _ error: APIError, now: Moment,
        using generator: inout some RandomNumberGenerator
    ) -> Action {
        guard error.isExpired || error.isVersionRefusal else {
            return pause(.list(mode, options), error, now: now, using: &generator)
        }
        switch mode {
        case .any, .notOlderThan: return list(.mostRecent)
        case .mostRecent where error.isExpired && options.continueToken != nil: return list(.mostRecentWhole)
        case .mostRecent, .mostRecentWhole:
            return pause(.list(mode, firstPage(mode)), error, now: now, using: &generator)
        }
    }

    private mutating func watchFailed(
        _ version: String, _ error: APIError, now: Moment, using generator: inout some RandomNumberGenerator
    ) -> Action {
        if error.isExpired {
            // At once the first time: to wait would only make more changes be missed.
            relists += 1
            guard relists > 1 else { return list(.notOlderThan(version)) }
            failures = max(failures, relists - 2)
            let mode = ListMode.notOlderThan(version)
            return pause(.list(mode, firstPage(mode)), error, now: now, using: &generator)
        }
        if error.isVersionRefusal { refusals += 1 }
        guard refusals >= limits.maximumRefusals else {
            return pause(.watch(resourceVersion: version), error, now: now, using: &generator)
        }
        relists += 1
        failures = max(failures, relists - 1)
        return pause(.list(.mostRecent, firstPage(.mostRecent)), error, now: now, using: &generator)
    }

    private mutating func pause(
        _ resumption: Resumption, _ error: APIError?, now: Moment, using generator: inout some RandomNumberGenerator
    ) -> Action {
        var delay = limits.backoff.delay(attempt: failures, using: &generator)
        if case .transient(let retryAfter) = error?.disposition {
            delay = max(delay, limits.backoff.bounded(retryAfter))
        }
        failures += 1
        phase = .pausing(resumption)
        return .pause(until: now + delay)
    }

    private mutating func resume(
        _ resumption: Resumption, using generator: inout some RandomNumberGenerator
    ) -> Action {
        switch resumption {
        case .list(let mode, let options):
            phase = .listing(mode, options)
            return .list(options, begins: options.continueToken == nil)
        case .watch(let version):
            phase = .opening(resourceVersion: version)
            return .watch(
                WatchOptions(
                    labelSelector: scope.labelSelector, fieldSelector: scope.fieldSelector, resourceVersion: version,
                    timeoutSeconds: Int.random(in: limits.watchSeconds, using: &generator),
                    metadataOnly: scope.metadataOnly))
        }
    }

    private mutating func list(_ mode: ListMode) -> Action {
        let options = firstPage(mode)
        phase = .listing(mode, options)
        return .list(options, begins: true)
    }

    /// The server's cache answers a list with a version whole, and one with a version and a limit not at all.
    private func firstPage(_ mode: ListMode) -> ListOptions {
        let (version, limit): (String?, Int?) =
            switch mode {
            case .any: ("0", limits.pageSize)
            case .notOlderThan(let version): (version, nil)
            case .mostRecent: (nil, limits.pageSize)
            case .mostRecentWhole: (nil, nil)
            }
        return ListOptions(
            labelSelector: scope.labelSelector, fieldSelector: scope.fieldSelector, limit: limit,
            resourceVersion: version, form: scope.metadataOnly ? .metadata : .whole)
    }
}

extension APIError {
    /// The server may be refusing the version that was asked for: it says that it cannot serve the request as it is, or
    /// what it sends from there cannot be read. Not overload, missing permission, or a server that is starting.
    fileprivate var isVersionRefusal: Bool {
        switch self {
        case .status(let status, _): ![401, 403, 410, 429, 503].contains(status.code)
        case .undecodable: true
        case .gaveUp(_, let last): last.isVersionRefusal
        case .transport, .notKubernetes: false
        }
    }
}
