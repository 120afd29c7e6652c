import Glibc
import KubernetesCore

/// An exclusive lock on one byte of the journal's lock file, held until it is dropped or the process ends.
///
/// Bytes of one file rather than a file for each attachment: nothing to create, nothing to remove, and no race between
/// the two. The lock belongs to the open file description (`F_OFD_SETLK`, Linux 3.15), so that two threads of one
/// process exclude each other too, and the kernel drops it with the process, however that ends.
package struct JournalLock: ~Copyable {
    /// What a lock protects; every one is another byte.
    package enum Scope: Hashable, Sendable {
        /// The journal as a whole while it is rebuilt.
        case node
        /// A pool while one ADD of the node lists it.
        case pool(uid: String)
        /// All that ADD and DEL do for one attachment.
        case attachment(digest: String)

        /// Attachments get odd bytes and pools even ones above 0. Two that meet on one byte wait for each other and
        /// are otherwise unharmed.
        var byte: Int64 {
            switch self {
            case .node: 0
            case .pool(let uid): Self.spread(uid) << 1 + 2
            case .attachment(let digest): Self.spread(digest) << 1 | 1
            }
        }

        /// Kept below 2^60 so that the byte stays a valid file offset.
        private static func spread(_ text: String) -> Int64 { Int64(FNV1a.hash(text.utf8) >> 4) }
    }

    /// `F_OFD_SETLK` of <fcntl.h>, which the header shows only under _GNU_SOURCE.
    private static let setLock: Int32 = 37

    private let file: OpenFile

    /// Ends the lock, which otherwise ends where the compiler sees its last use.
    consuming func drop() {}

    private init(_ file: consuming OpenFile) { self.file = file }

    /// Waits for the lock until `deadline`; nil when another process still holds it then.
    static func take(
        path: String, scope: Scope, deadline: Moment, now: () -> Moment
    ) throws(JournalError) -> JournalLock? {
        let file = try OpenFile(path, O_RDWR | O_CREAT, operation: "open")
        var request = Glibc.flock()
        request.l_type = Int16(F_WRLCK)
        request.l_whence = Int16(SEEK_SET)
        request.l_start = off_t(scope.byte)
        request.l_len = 1
        // The kernel has no lock with a time-out, so it is asked again, soon at first: most holders need milliseconds.
        var pause: UInt32 = 500
        while fcntl(file.descriptor, setLock, &request) != 0 {
            guard errno == EAGAIN || errno == EACCES || errno == EINTR else {
                throw JournalError(operation: "lock", path: path, errorNumber: errno)
            }
            guard now() < deadline else { return nil }
            usleep(pause)
            pause = min(pause * 2, 20_000)
        }
        return JournalLock(file)
    }
}
