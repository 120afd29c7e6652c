import IPAMAPI
import IPAMEngine
import KubernetesRuntime

/// Which allocations name a pod: of most pods one or two, of 60,000 pods a few megabytes.
struct HolderIndex: Sendable {
    /// A set of its own for each pod would take several times the memory.
    private enum Names: Sendable {
        case one(String)
        case several(Set<String>)
    }

    private var names: [ObjectKey: Names] = [:]

    func allocations(of pod: ObjectKey) -> Set<String> {
        switch names[pod] {
        case nil: []
        case .one(let name): [name]
        case .several(let names): names
        }
    }

    mutating func apply(_ delta: ObjectDelta<AllocationRecord>) {
        switch delta {
        case .added(let key, let object): insert(key.name, object.value.pod)
        case .changed(let key, let old, let new):
            guard old.value.pod != new.value.pod else { return }
            remove(key.name, old.value.pod)
            insert(key.name, new.value.pod)
        case .deleted(let key, let old), .unreadable(let key, _, let old): remove(key.name, old?.value.pod)
        }
    }

    private mutating func insert(_ name: String, _ pod: PodReference?) {
        guard let key = pod.map({ ObjectKey(namespace: $0.namespace, name: $0.name) }) else { return }
        switch names[key] {
        case nil: names[key] = .one(name)
        case .one(let other): names[key] = .several([other, name])
        case .several(var known):
            names[key] = nil
            known.insert(name)
            names[key] = .several(known)
        }
    }

    private mutating func remove(_ name: String, _ pod: PodReference?) {
        guard let key = pod.map({ ObjectKey(namespace: $0.namespace, name: $0.name) }) else { return }
        switch names[key] {
        case .one(name): names[key] = nil
        case nil, .one: break
        case .several(var known):
            names[key] = nil
            known.remove(name)
            names[key] = known.count == 1 ? known.first.map { .one($0) } : .several(known)
        }
    }
}
