import Synchronization

/// Gives equal texts one storage, for values that repeat the same few names ten thousands of times.
package final class StringPool: Sendable {
    /// Names come and go in a cluster. A pool that has grown so large starts anew; what was given out stays valid.
    static let maximumCount = 65_536

    /// What Swift keeps inside of the value itself, without storage that could be shared.
    private static let inlineLength = 15

    private let strings = Mutex<Set<String>>([])

    package init() {}

    package func shared(_ text: String) -> String {
        guard text.utf8.count > Self.inlineLength else { return text }
        return strings.withLock { strings in
            if strings.count >= Self.maximumCount { strings.removeAll() }
            return strings.insert(text).memberAfterInsert
        }
    }

    var count: Int { strings.withLock(\.count) }
}
