import IPAMAPI

/// Who can speak for the machine that an allocation names.
enum NodeVerdict: Hashable, Sendable, CaseIterable {
    /// The node agent: it frees what is dead, nobody else does.
    case agentReports
    /// The kubelet, and there is no agent.
    case kubeletReports
    /// Nobody, for now: sandboxes may run on.
    case silent
    /// Nobody; an administrator says that the machine is off.
    case outOfService
    /// Nobody ever again: its Node is gone, or another one has its name.
    case deleted

    /// A machine is known by its machine ID. Where either side lacks it, only the UID of the Node is left to compare:
    /// the same UID counts as the same machine, for a machine that changes under one Node cannot be noticed then.
    ///
    /// Another machine under the same Node does not speak for the first one, which may still run: silent. Under another
    /// Node than the remembered one, the first machine's Node was deleted. The same machine under another Node has
    /// registered again since, so that what runs on it is its own to tell: it is judged as if its Node were the same.
    init(_ record: AllocationRecord, _ facts: ReclaimFacts) {
        guard case .present(let uid, let machineID, let isReady, let isOutOfService) = facts.node else {
            // A Node that was deleted while its agent runs on: the agent still knows best.
            self = facts.agent == .reports ? .agentReports : .deleted
            return
        }
        let isKnown = !machineID.isEmpty && !record.machineID.isEmpty
        let isOtherMachine = isKnown && machineID != record.machineID
        if !isOtherMachine, facts.agent == .reports {
            self = .agentReports
        } else if !isKnown || isOtherMachine, let remembered = record.rememberedNodeUID(facts), remembered != uid {
            self = .deleted
        } else if !isOtherMachine, facts.agent == .none, isReady {
            self = .kubeletReports
        } else {
            self = isOutOfService ? .outOfService : .silent
        }
    }

    /// The machine speaks for itself.
    var reports: Bool { self == .agentReports || self == .kubeletReports }
}

extension AllocationRecord {
    /// The UID of the Node that stood for the allocation's machine, when it was fenced or last seen.
    func rememberedNodeUID(_ facts: ReclaimFacts) -> String? {
        (self.state == .fenced ? self.fencedNodeUID : nil) ?? facts.knownNodeUID
    }

    /// Whether the controller may ever free it, or mark it for the agent, whatever the facts.
    ///
    /// Without a node nobody can be asked about the sandbox.
    var isReclaimable: Bool {
        !self.isBeingDeleted && !self.node.isEmpty && (self.state == .bound || self.state == .fenced)
            && self.origin != .manual
    }

    /// Whether no pod of the API server stands for the holder, so that its end cannot be seen there.
    var livesWithMachine: Bool { self.origin != .pod || self.pod == nil }

    /// Whether the pod that holds the address is there and has not finished, by the UID or, of a static pod, by the
    /// kubelet's own UID.
    func isAlive(_ fact: PodFact) -> Bool {
        guard case .present(let uid, let configHash) = fact, let pod = self.pod else { return false }
        return pod.uid == uid || pod.uid == configHash
    }

    /// Why the holder would lose the address; nil while there is nothing against it.
    ///
    /// A pod that is there is never overruled, also when its node is gone: the cluster's garbage collector deletes it.
    /// What no pod of the API server stands for (static pods, other containers, a pod that is not named) lives and
    /// dies with its machine. A mirror pod says that a static pod is alive, and its absence says nothing.
    func suspicion(_ facts: ReclaimFacts, _ verdict: NodeVerdict, _ settings: ReclaimSettings) -> ReclaimReason? {
        guard isReclaimable, !isAlive(facts.pod) else { return nil }
        switch verdict {
        case .deleted: return .nodeDeleted
        case .outOfService: return .nodeOutOfService
        case .agentReports, .kubeletReports, .silent:
            guard !livesWithMachine, let pod = self.pod else {
                return verdict == .silent && settings.nodeLostTimeout != nil ? .nodeLost : nil
            }
            switch facts.pod {
            case .absent: return .podDeleted
            case .finished(let uid, let configHash) where pod.uid == uid || pod.uid == configHash: return .podFinished
            case .present, .finished: return .podReplaced
            }
        }
    }
}
