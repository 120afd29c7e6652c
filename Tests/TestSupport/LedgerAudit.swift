package import IPAMAPI
package import IPAddressing
internal import KubernetesClient
internal import KubernetesCore

/// The ledger held against what the runtime believes.
package struct LedgerAudit: Sendable, CustomStringConvertible {
    /// An address and those who believe that they have it.
    package struct Duplicate: Hashable, Sendable {
        package let address: IPAddress
        package let holders: [Attachment]
    }

    /// An address that an attachment believes to have, or has in the ledger.
    package struct Holding: Hashable, Sendable {
        package let address: IPAddress
        package let attachment: Attachment

        package init(address: IPAddress, attachment: Attachment) {
            self.address = address
            self.attachment = attachment
        }
    }

    /// Believed by more than one attachment.
    package var duplicates: [Duplicate] = []
    /// Believed by an attachment that the ledger does not name as its holder.
    package var lost: [Holding] = []
    /// Held in the ledger by an attachment that does not believe so.
    package var leaked: [Holding] = []
    /// Released, and not handed out again yet.
    package var cooling = 0
    /// Held as both sides believe.
    package var agreed = 0

    package var isClean: Bool { duplicates.isEmpty && lost.isEmpty && leaked.isEmpty }

    /// Compares the allocations of one isolation domain with the addresses that each attachment was given.
    package init(_ allocations: [IPAllocation], believed: [Attachment: Set<IPAddress>]) {
        var holders: [IPAddress: [Attachment]] = [:]
        for (attachment, addresses) in believed {
            for address in addresses { holders[address, default: []].append(attachment) }
        }
        for (address, attachments) in holders where attachments.count > 1 {
            duplicates.append(Duplicate(address: address, holders: attachments))
        }
        var ledger: Set<Holding> = []
        for allocation in allocations {
            if allocation.spec.state == .cooling { cooling += 1 }
            guard let attachment = allocation.spec.attachment else { continue }
            let holding = Holding(address: allocation.spec.address, attachment: attachment)
            ledger.insert(holding)
            if believed[attachment]?.contains(holding.address) != true { leaked.append(holding) }
        }
        for (address, attachments) in holders {
            for attachment in attachments {
                let holding = Holding(address: address, attachment: attachment)
                if ledger.contains(holding) { agreed += 1 } else { lost.append(holding) }
            }
        }
    }

    package var description: String {
        var lines = [
            "held \(agreed), cooling \(cooling), duplicate \(duplicates.count), lost \(lost.count), "
                + "leaked \(leaked.count)"
        ]
        lines += duplicates.map { "duplicate \($0.address): \($0.holders)" }
        lines += lost.map { "lost \($0.address): \($0.attachment)" }
        lines += leaked.map { "leaked \($0.address): \($0.attachment)" }
        return lines.joined(separator: "\n")
    }
}

extension ControlPlane {
    /// The allocations of a pool, or those that a label selector selects, read from etcd.
    package func allocations(pool: String? = nil, labelSelector: String? = nil) async throws -> [IPAllocation] {
        let selectors = [pool.map { "\(LabelKey.pool)=\(LabelValue.fitting($0))" }, labelSelector]
        let selector = selectors.compactMap(\.self).joined(separator: ",")
        return try await withAdmin { client in
            let options = ListOptions(labelSelector: selector.isEmpty ? nil : selector)
            let list = try client.listAll(.ipAllocations, options: options, deadline: .soon)
            return try list.items.map { try IPAllocation($0) }
        }
    }

    /// The allocation of an address, or nil when there is none.
    package func allocation(_ address: String, network: String = "") async throws -> IPAllocation? {
        let objectName = try IPAddress(parsing: address).objectName
        let name = network.isEmpty ? objectName : "\(network).\(objectName)"
        return try await withAdmin { client in
            do {
                return try IPAllocation(client.get(.ipAllocations, name: name, deadline: .soon))
            } catch let error as APIError where error.isNotFound {
                return nil
            }
        }
    }

    /// Compares the allocations of a pool with what the runtime believes.
    package func audit(pool: String, believed: [Attachment: Set<IPAddress>]) async throws -> LedgerAudit {
        LedgerAudit(try await allocations(pool: pool), believed: believed)
    }
}
