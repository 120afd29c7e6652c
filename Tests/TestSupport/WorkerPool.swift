internal import Glibc
internal import Synchronization

/// What is done at most once: the first caller does it, and all get what came of it. After a failure the next caller
/// tries again.
package final class OnceAsync<Value: Sendable>: Sendable {
    private let task = Mutex<Task<Value, any Error>?>(nil)

    package init() {}

    package func value(_ make: @escaping @Sendable () async throws -> Value) async throws -> Value {
        let task = task.withLock { task in
            if let task { return task }
            // Not part of the first caller's task: the others need it too when that one is cancelled.
            let new = Task.detached { try await make() }
            task = new
            return new
        }
        do {
            return try await task.value
        } catch {
            self.task.withLock { if $0 == task { $0 = nil } }
            throw error
        }
    }
}

/// Threads that each own a resource which must not leave its thread, as many as are ever busy at once.
///
/// They live as long as the process.
final class WorkerPool<Resource>: Sendable {
    private typealias Job = @Sendable (Result<Resource, any Error>) -> Void

    /// A thread's letter box.
    private final class Worker: Sendable {
        let job = Mutex<Job?>(nil)
        let wake = Semaphore()
    }

    private let make: @Sendable () throws -> Resource
    private let idle = Mutex<[Worker]>([])

    /// - Parameter make: Makes the resource of a thread, on that thread. After a failure it is asked again.
    init(_ make: @escaping @Sendable () throws -> Resource) { self.make = make }

    func run<Answer: Sendable>(_ body: @escaping @Sendable (Resource) throws -> Answer) async throws -> Answer {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Answer, any Error>) in
            let worker = idle.withLock { $0.popLast() } ?? startWorker()
            worker.job.withLock { job in
                job = { resource in continuation.resume(with: Result { try body(resource.get()) }) }
            }
            worker.wake.signal()
        }
    }

    private func startWorker() -> Worker {
        let worker = Worker()
        startThread { [self] in
            var resource = Result { try make() }
            while true {
                worker.wake.wait()
                let job = worker.job.withLock { job in
                    defer { job = nil }
                    return job
                }
                if case .failure = resource { resource = Result { try make() } }
                job?(resource)
                idle.withLock { $0.append(worker) }
            }
        }
        return worker
    }
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

    func signal() { sem_post(semaphore) }

    func wait() {
        while sem_wait(semaphore) < 0, errno == EINTR {}
    }
}
