import Glibc
import Synchronization

/// A thread that blocks for others, with something that must not leave it.
///
/// Guarantees: jobs run one after the other, in their order. The thread ends when the worker is gone.
final class HostWorker<Resource>: Sendable {
    private typealias Job = @Sendable (inout Resource) -> Void

    private final class Inbox: Sendable {
        let jobs = Mutex<(waiting: [Job], isClosed: Bool)>(([], false))
        let wake = Semaphore()
    }

    private let inbox = Inbox()

    init(_ make: @escaping @Sendable () -> Resource) {
        let inbox = inbox
        Self.startThread {
            var resource = make()
            while true {
                inbox.wake.wait()
                let (job, isClosed) = inbox.jobs.withLock { jobs in
                    (jobs.waiting.isEmpty ? nil : jobs.waiting.removeFirst(), jobs.isClosed)
                }
                if let job {
                    job(&resource)
                } else if isClosed {
                    return
                }
            }
        }
    }

    deinit {
        inbox.jobs.withLock { $0.isClosed = true }
        inbox.wake.post()
    }

    /// Waits for the job's end, whether the task is cancelled or not.
    func run<Answer: Sendable>(_ body: @escaping @Sendable (inout Resource) -> Answer) async -> Answer {
        await withCheckedContinuation { continuation in
            inbox.jobs.withLock { jobs in
                jobs.waiting.append { resource in continuation.resume(returning: body(&resource)) }
            }
            inbox.wake.post()
        }
    }

    private static func startThread(_ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let box = Unmanaged.passRetained(ThreadBody(body))
        let status = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<ThreadBody>.fromOpaque(context).takeRetainedValue().body()
                return nil
            },
            box.toOpaque())
        guard status == 0 else { fatalError("pthread_create: \(HostFileError.text(status))") }
        pthread_detach(thread)
    }
}

private final class ThreadBody: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

/// A counting semaphore (sem_overview(7)).
///
/// Sendable, because a semaphore is made to be used from several threads; the pointer is never changed.
private final class Semaphore: @unchecked Sendable {
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() { sem_init(semaphore, 0, 0) }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    func post() { sem_post(semaphore) }

    func wait() {
        while sem_wait(semaphore) < 0, errno == EINTR {}
    }
}
