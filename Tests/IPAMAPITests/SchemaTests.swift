import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

/// A kind, for the comparison of its schema with its Swift type.
struct SchemaSubject: CustomTestStringConvertible, Sendable {
    let plural: String
    /// The encoding of a Swift value in which no field is empty.
    let full: @Sendable () throws -> JSON
    /// Decodes an object and encodes what came of it.
    let recode: @Sendable (JSON) throws -> JSON
    /// Values for fields that do not take any text.
    let samples: [FieldPath: JSON]
    let enumerations: [FieldPath: [String]]

    var testDescription: String { plural }

    func crd() throws -> CRD { try CRD(plural) }

    /// An object with every field that the schema has.
    func sample(_ schema: JSON) -> JSON { named(schema.schemaSample(samples: samples)) }

    /// With the metadata that fits the spec.
    func named(_ object: JSON) -> JSON {
        var object = object
        let address = object["spec"]?["address"]?.string ?? "blue"
        let network = object["spec"]?["network"]?.string
        object["metadata"] = [
            "name": .string(plural == "ippools" ? "blue" : network.map { "\($0).\(address)" } ?? address)
        ]
        return object
    }

    static let pools = Self(
        plural: "ippools",
        full: {
            var spec = IPPool.full.spec
            // Of a pool with all the rest it would be refused.
            spec.nodeBlocks = NodeBlocks(
                prefixLength: 26, resultPrefix: .block, gateway: .firstAddress, borrowing: true)
            return ["spec": spec.json, "status": IPPool.full.status?.json ?? .null]
        },
        recode: { json in
            let pool = try IPPool(json)
            var encoded: JSON = ["spec": pool.spec.json]
            encoded["status"] = pool.status?.json
            return encoded
        },
        samples: ["spec.cooldown": "1m30s", "status.occupancy.bitmap": "/wA="],
        enumerations: [
            "spec.strategy": PoolStrategy.allCases.map(\.rawValue),
            "spec.nodeBlocks.resultPrefix": NodeBlocks.ResultPrefix.allCases.map(\.rawValue),
            "spec.nodeBlocks.gateway": NodeBlocks.Gateway.allCases.map(\.rawValue),
            "spec.stickiness": PoolStickiness.allCases.map(\.rawValue),
            "status.conditions[].status": Condition.Status.allCases.map(\.rawValue),
            "spec.podSelector.matchExpressions[].operator": operators,
            "spec.namespaceSelector.matchExpressions[].operator": operators,
            "spec.nodeSelector.matchExpressions[].operator": operators,
        ])

    private static let operators = LabelSelector.Requirement.Operator.allCases.map(\.rawValue)

    static let allocations = Self(
        plural: "ipallocations",
        full: { ["spec": try IPAllocation.Spec.full().json] },
        recode: { ["spec": try IPAllocation($0).spec.json] },
        samples: ["spec.address": "10.0.0.1", "spec.network": "red"],
        enumerations: [
            "spec.state": AllocationState.allCases.map(\.rawValue),
            "spec.origin": AllocationOrigin.allCases.map(\.rawValue),
        ])

    static let reservations = Self(
        plural: "ipreservations",
        full: {
            ["spec": IPReservation.full.spec.json, "status": IPReservation.full.status?.json ?? .null]
        },
        recode: { json in
            let reservation = try IPReservation(json)
            var encoded: JSON = ["spec": reservation.spec.json]
            encoded["status"] = reservation.status?.json
            return encoded
        },
        samples: [:], enumerations: ["status.conditions[].status": Condition.Status.allCases.map(\.rawValue)])

    static let blocks = Self(
        plural: "ipblocks", full: { ["spec": IPBlock.full.spec.json] },
        recode: { ["spec": try IPBlock($0).spec.json] }, samples: [:],
        enumerations: ["spec.state": BlockState.allCases.map(\.rawValue)])

    static let claims = Self(
        plural: "ipclaims",
        full: { ["spec": IPClaim.full.spec.json, "status": IPClaim.full.status.json] },
        recode: { json in
            let claim = try IPClaim(json)
            var encoded: JSON = ["spec": claim.spec.json]
            if claim.status != IPClaim.Status() { encoded["status"] = claim.status.json }
            return encoded
        },
        samples: ["spec.retention.for": "1m30s"],
        enumerations: [
            "spec.retention.policy": RetentionPolicy.allCases.map(\.rawValue),
            "status.conditions[].status": Condition.Status.allCases.map(\.rawValue),
        ])

    static let all = [pools, allocations, reservations, claims, blocks]
}

/// Holds the schemas of config/crd and the Swift types against each other.
@Suite struct SchemaTests {
    @Test(arguments: SchemaSubject.all)
    func `schema and encoding have the same fields with the same types`(subject: SchemaSubject) throws {
        let schema = try subject.crd().schema.schemaFieldTypes()
        #expect(!schema.isEmpty)
        #expect(differences(schema: schema, encoding: try subject.full().fieldTypes()) == [])
    }

    @Test(arguments: SchemaSubject.all)
    func `an object with every field of the schema is decoded without a loss`(subject: SchemaSubject) throws {
        let object = subject.sample(try subject.crd().schema)
        var expected = object
        expected["metadata"] = nil
        #expect(try subject.recode(object) == expected)
        // In the sample too, no field is missing.
        #expect(Set(expected.fieldTypes().keys) == Set(try subject.crd().schema.schemaFields().keys))
    }

    @Test(arguments: SchemaSubject.all)
    func `enumerations list the same values`(subject: SchemaSubject) throws {
        let listed = try subject.crd().schema.schemaFields().compactMapValues {
            $0["enum"]?.array?.compactMap(\.string)
        }
        #expect(listed == subject.enumerations)
    }

    @Test(arguments: SchemaSubject.all)
    func `what the schema requires is what the decoder requires`(subject: SchemaSubject) throws {
        let schema = try subject.crd().schema
        let refused = schema.schemaFields().keys.filter { path in
            guard !path.hasSuffix("[]") else { return false }
            var object = subject.sample(schema)
            object.set(nil, at: path)
            return (try? subject.recode(subject.named(object))) == nil
        }
        #expect(Set(refused) == schema.schemaRequired())
    }

    @Test(arguments: SchemaSubject.all)
    func `an absent field has the schema's default, or stays absent`(subject: SchemaSubject) throws {
        let schema = try subject.crd().schema
        let required = schema.schemaRequired()
        for (path, field) in schema.schemaFields() where !required.contains(path) && !path.hasSuffix("[]") {
            var object = subject.sample(schema)
            object.set(nil, at: path)
            #expect(try subject.recode(subject.named(object)).value(at: path) == field["default"], "\(path)")
        }
    }

    @Test(arguments: SchemaSubject.all)
    func `every field is described and every value bounded`(subject: SchemaSubject) throws {
        for (path, field) in try subject.crd().schema.schemaFields() {
            if !path.hasSuffix("[]") { #expect(field["description"] != nil, "\(path)") }
            switch field["type"]?.string {
            case "string":
                let isBounded = field["maxLength"] != nil || field["enum"] != nil || field["format"] == "date-time"
                #expect(isBounded, "\(path)")
            case "array": #expect(field["maxItems"] != nil, "\(path)")
            case "integer": #expect(field["minimum"] != nil, "\(path)")
            default: break
            }
        }
    }

    // MARK: The comparison itself

    @Test(arguments: SchemaSubject.all)
    func `a field that is missing on one side, or has another type, is found`(subject: SchemaSubject) throws {
        let schema = try subject.crd().schema.schemaFieldTypes()
        let encoding = try subject.full().fieldTypes()
        for path in schema.keys {
            var changed = schema
            changed[path] = nil
            #expect(differences(schema: changed, encoding: encoding) == ["\(path): only in the encoding"])
            changed[path] = "other"
            #expect(differences(schema: changed, encoding: encoding).count == 1)
            changed = encoding
            changed[path] = nil
            #expect(differences(schema: schema, encoding: changed) == ["\(path): only in the schema"])
        }
    }
}

/// The bounds and patterns that Swift has too.
@Suite struct SchemaRuleTests {
    static func field(_ plural: String, _ path: FieldPath) throws -> JSON {
        try #require(try CRD(plural).schema.schemaFields()[path])
    }

    /// Whether a text is what the pattern of a field wants. RE2 and Swift agree on all that these patterns use.
    static func matches(_ field: JSON, _ text: String) throws -> Bool {
        let pattern = try #require(field["pattern"]?.string)
        return try text.firstMatch(of: Regex(pattern)) != nil
    }

    @Test func `bounds are those of the types`() throws {
        for (name, maximum) in [
            ("mtu", 65_536), ("advmss", 65_535), ("priority", 4_294_967_295), ("table", 4_294_967_295), ("scope", 255),
        ] {
            #expect(try Self.field("ippools", "spec.routes[].\(name)")["maximum"] == .int(maximum))
            var route: JSON = ["dst": "10.0.0.0/8"]
            route[name] = .int(maximum)
            #expect(problem(with: try IPPool(poolObject(["subnet": "10.0.0.0/24", "routes": [route]]))) == nil)
            route[name] = .int(maximum + 1)
            let found = problem(with: try IPPool(poolObject(["subnet": "10.0.0.0/24", "routes": [route]])))
            #expect(found?.field == "spec.routes[0].\(name)")
        }
        #expect(
            try Self.field("ipallocations", "spec.cooldownSeconds")["maximum"]
                == .int(ValidatedPool.maximumCooldownSeconds))
        #expect(
            try CRD("ippools").schema["properties"]?["metadata"]?["properties"]?["name"]?["maxLength"]
                == .int(ValidatedPool.maximumNameLength))
        #expect(try Self.field("ipreservations", "spec.ranges")["maxItems"] == .int(ValidatedReservation.maximumRanges))
        #expect(
            try Self.field("ipreservations", "status.holders")["maxItems"]
                == .int(IPReservation.Status.maximumHolders))
        let base64Length = (Occupancy.maximumCount / 8 + 2) / 3 * 4
        #expect(try Self.field("ippools", "status.occupancy.bitmap")["maxLength"] == .int(base64Length))
    }

    @Test(
        arguments: [
            ("10.19.120.7", true), ("0.0.0.0", true), ("255.255.255.255", true), ("red.10.0.0.1", true),
            ("fd00-0000-0000-0000-0000-0000-0000-0001", true), ("red.fd00-0000-0000-0000-0000-0000-0000-0001", true),
            ("a-1.10.0.0.1", true),
            ("10.0.0.256", false), ("10.0.0.01", false), ("10.0.0", false), ("10.0.0.1.", false),
            ("1a.10.0.0.1", false),
            ("a-.10.0.0.1", false), ("a.b.10.0.0.1", false), ("fd00-0000-0000-0000-0000-0000-0000-1", false),
            ("FD00-0000-0000-0000-0000-0000-0000-0001", false), ("x10.0.0.1", false), ("red", false), ("", false),
        ])
    func `the names of allocations are those that Swift reads`(name: String, isValid: Bool) throws {
        let schema = try CRD("ipallocations").schema["properties"]?["metadata"]?["properties"]?["name"]
        #expect(try Self.matches(try #require(schema), name) == isValid)
        #expect((AllocationName(objectName: name) != nil) == isValid)
    }

    @Test(
        arguments: [
            "", "a", "red", "a-1", "A", "1a", "-a", "a-", "a.b", "a_b", String(repeating: "a", count: 63),
            String(repeating: "a", count: 64),
        ])
    func `networks are those that Swift takes`(network: String) throws {
        let isValid = network.isEmpty || AllocationName.isValidNetworkName(network)
        for plural in ["ippools", "ipallocations", "ipreservations", "ipblocks"] {
            let field = try Self.field(plural, "spec.network")
            #expect(try Self.matches(field, network) == isValid)
            #expect(field["maxLength"] == 63)
        }
    }

    @Test(arguments: ["dns", "a-1", "1", "A", "-a", "a-", "a.b", "a b", "", String(repeating: "a", count: 64)])
    func `purposes are those that Swift takes`(purpose: String) throws {
        for (plural, path) in [("ipreservations", "spec.purpose"), ("ippools", "status.reservedFor[].purpose")] {
            let field = try Self.field(plural, path)
            let isTaken = try Self.matches(field, purpose) && purpose.count <= (field["maxLength"]?.int ?? 0)
            #expect(isTaken == ValidatedReservation.isPurpose(purpose))
        }
    }

    @Test(arguments: ["0", "0s", "10s", "1m30s", "1.5h", "500ms", "24h", "10", "s", "-1s", "1d", "1 s", "", "1.s"])
    func `a cooldown that the schema takes can be read`(text: String) throws {
        let isTaken = try Self.matches(try Self.field("ippools", "spec.cooldown"), text)
        let isRead = (try? IPPool(poolObject(["subnet": "10.0.0.0/24", "cooldown": .string(text)]))) != nil
        // Go reads one more form, "1.s".
        #expect(isTaken == isRead || text == "1.s")
    }

    @Test(
        arguments: [
            ("10.0.0.1", true), ("10.0.0.1-10.0.0.9", true), ("10.0.0.1-9", true), ("10.0.0.0/24", true),
            ("fd00::1-fd00::F", true), ("FD00::/64", true), ("::ffff:10.0.0.1", true),
            ("10.0.0.1 - 10.0.0.9", false), ("10.0.0.1-", false), ("10.0.0.1,10.0.0.2", false), ("fe80::1%eth0", false),
            ("", false),
        ])
    func `ranges may have every form that Swift reads`(text: String, isValid: Bool) throws {
        for path in ["spec.ranges[]", "spec.exclude[]", "status.reserved[]", "status.reservedFor[].ranges[]"] {
            #expect(try Self.matches(try Self.field("ippools", path), text) == isValid)
        }
        #expect(try Self.matches(try Self.field("ipreservations", "spec.ranges[]"), text) == isValid)
        #expect((try? IPRange(parsing: text)) != nil || !isValid)
    }

    @Test(
        arguments: [
            "0.0.0.0", "255.255.255.255", "::", "::1", "fd00::", "1:2:3:4:5:6:7:8", "::ffff:255.255.255.255",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ])
    func `every address can be entered as Swift writes it`(text: String) throws {
        let written = try ip(text).description
        for (plural, path) in [
            ("ipallocations", "spec.address"), ("ippools", "spec.gateway"), ("ippools", "spec.routes[].gw"),
        ] {
            let field = try Self.field(plural, path)
            #expect(try Self.matches(field, written))
            #expect(written.count <= (field["maxLength"]?.int ?? 0))
        }
        let subnet = try Self.field("ippools", "spec.subnet")
        let length = try ip(text).family.bitWidth
        #expect(try Self.matches(subnet, "\(written)/\(length)"))
        #expect("\(written)/\(length)".count <= (subnet["maxLength"]?.int ?? 0))
    }
}

/// What kubectl shows.
@Suite struct PrinterColumnTests {
    static func columns(_ plural: String, wide: Bool) throws -> [String] {
        (try CRD(plural).version["additionalPrinterColumns"]?.array ?? [])
            .filter { ($0["priority"]?.int ?? 0) == (wide ? 1 : 0) }.compactMap { $0["name"]?.string?.uppercased() }
    }

    @Test func `the columns are those of the design`() throws {
        #expect(
            try Self.columns("ipallocations", wide: false)
                == ["ADDRESS", "POOL", "NAMESPACE", "POD", "NODE", "INTERFACE", "STATE", "AGE"])
        #expect(try Self.columns("ipallocations", wide: true) == ["CONTAINER", "CLAIM"])
        #expect(
            try Self.columns("ippools", wide: false)
                == ["SUBNET", "ALLOCATED", "COOLING", "FREE", "READY", "AGE"])
        #expect(try Self.columns("ippools", wide: true) == ["RANGES", "GATEWAY", "NETWORK", "GENERATION", "UID"])
        #expect(
            try Self.columns("ipreservations", wide: false) == ["RANGES", "PURPOSE", "ENFORCED", "HOLDERS", "AGE"])
        #expect(try Self.columns("ipblocks", wide: false) == ["CIDR", "POOL", "NODE", "STATE", "AGE"])
        #expect(try Self.columns("ipblocks", wide: true) == ["NETWORK"])
        #expect(try Self.columns("ipreservations", wide: true) == ["POOLS", "NETWORK", "REASON"])
    }

    @Test(arguments: ["ippools", "ipallocations", "ipreservations", "ipblocks"])
    func `columns and selectable fields name fields of the schema`(plural: String) throws {
        let crd = try CRD(plural)
        let types = crd.schema.schemaFieldTypes()
        let columns = crd.version["additionalPrinterColumns"]?.array ?? []
        let selectable = crd.version["selectableFields"]?.array ?? []
        #expect(selectable.count <= 8)
        for path in (columns + selectable).compactMap({ $0["jsonPath"]?.string }) where !path.hasPrefix(".metadata.") {
            // A filter stands for the members of its list.
            let field = path.dropFirst().replacing(/\[\?\(.*\)\]/, with: "[]")
            #expect(types[String(field)] != nil, "\(path)")
        }
        for path in selectable.compactMap({ $0["jsonPath"]?.string?.dropFirst() }) {
            #expect(types[String(path)] == "string")
        }
    }
}
