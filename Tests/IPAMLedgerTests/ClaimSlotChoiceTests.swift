import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMLedger

/// How a slot comes to its candidates, and when it gives up.
@Suite struct ClaimSlotChoiceTests {
    // MARK: Candidates and scans

    @Test func `the create carries the address, the pool and the claimant`() throws {
        var driver = try SlotDriver.one()
        #expect(driver.ask() == "create 10.0.0.5")
        let body = try JSON(parsing: try #require(driver.request?.body))
        #expect(body["metadata"]?["name"] == "10.0.0.5")
        let spec = try #require(body["spec"])
        #expect(spec["state"] == "Bound")
        #expect(spec["origin"] == "Pod")
        #expect(spec["pool"] == "blue")
        #expect(spec["poolUID"] == "uid-blue")
        #expect(spec["node"] == "n1")
        #expect(spec["machineID"] == "m1")
        #expect(spec["attachment"] == attachment.json)
        #expect(spec["pod"]?["uid"] == "p1")
        #expect(spec["cooldownSeconds"] == 10)
    }

    @Test func `a named network is part of the name`() throws {
        var driver = try SlotDriver([pool("10.0.0.4/32", network: "wire")])
        #expect(driver.ask() == "create wire.10.0.0.4")
        #expect(driver.records == "wire.10.0.0.4 late")
    }

    @Test func `without a hint eight refused creates lead to a scan`() throws {
        var driver = try SlotDriver([pool("10.0.0.0/24")])
        for _ in 0..<8 { try driver.next(.alreadyExists) }
        #expect(driver.ask() == "scan everything of blue")
        try driver.learn(free: "10.0.0.77")
        #expect(driver.ask() == "create 10.0.0.77")
        try driver.answer(.done())
        #expect(driver.slot.held?.name == "10.0.0.77")
    }

    @Test func `a pool whose hint has nothing free is asked for cooling addresses only`() throws {
        var driver = try SlotDriver([pool("10.0.0.0/28", free: "")])
        #expect(driver.ask() == "scan cooling of blue")
        try driver.learn(free: "", cooling: "10.0.0.9")
        #expect(driver.ask() == "get 10.0.0.9")
        try driver.answer(.object(.cooling))
        #expect(driver.ask() == "wait 2 s")
        driver.now = driver.now + .seconds(2)
        #expect(driver.ask() == "update 10.0.0.9")
        try driver.answer(.done(version: "8"))
        #expect(driver.records == "10.0.0.9 v8")
    }

    /// The hint counts what overlapping pools gave, and a scan does not.
    @Test func `a full hint of a pool without cooldown is doubted, for a few refusals and not for a large pool`() throws
    {
        var driver = try SlotDriver([pool("10.0.0.0/26", cooldown: 0, free: "")])
        #expect(driver.ask() == "scan everything of blue")
        try driver.learn(free: (1...40).map { "10.0.0.\($0)" }.joined(separator: " "))
        for _ in 0..<16 { try driver.next(.alreadyExists) }
        _ = driver.ask()
        #expect(driver.slot.state.brief == "failed: exhausted")
        var freed = try SlotDriver([pool("10.0.0.0/26", cooldown: 0, free: "")])
        #expect(freed.ask() == "scan everything of blue")
        try freed.learn(free: "10.0.0.7")
        #expect(freed.ask() == "create 10.0.0.7")
        var large = try SlotDriver([pool("10.0.0.0/16", cooldown: 0, free: "")])
        #expect(large.ask() == "scan cooling of blue")
    }

    @Test func `the next pool is asked before any address is taken over`() throws {
        var driver = try SlotDriver([
            pool("10.0.0.0/28", named: "a", free: ""), pool("10.0.1.0/28", named: "b", free: "10.0.1.5"),
        ])
        #expect(driver.ask() == "create 10.0.1.5")
        try driver.answer(.done())
        #expect(driver.slot.held?.pool.name == "b")
    }

    @Test func `cooling addresses are looked for in the order of the pools`() throws {
        var driver = try SlotDriver([
            pool("10.0.0.0/28", named: "a", free: ""), pool("10.0.1.0/28", named: "b", free: ""),
        ])
        #expect(driver.ask() == "scan cooling of a")
        try driver.learn(free: "")
        #expect(driver.ask() == "scan cooling of b")
        try driver.learn(free: "", cooling: "10.0.1.9", source: 1)
        #expect(driver.ask() == "get 10.0.1.9")
    }

    @Test func `when nothing is free or cooling, every pool is named with its counts`() throws {
        var driver = try SlotDriver([
            pool("10.0.0.0/28", named: "a", free: ""), pool("10.0.1.0/28", named: "b", free: ""),
        ])
        _ = driver.ask()
        try driver.learn(free: "")
        _ = driver.ask()
        try driver.learn(free: "", source: 1)
        #expect(driver.ask() == "finished")
        let text = """
            no address is free: IPPool "a": 14 usable addresses, 1 allocated, 0 held by claims, 1 cooling; \
            IPPool "b": 14 usable addresses, 1 allocated, 0 held by claims, 1 cooling
            """
        #expect(driver.slot.failure?.description == text)
        #expect(driver.records.isEmpty)
    }

    @Test func `addresses of the node itself are not counted as allocated`() throws {
        var driver = try SlotDriver([pool("10.0.0.4/30", strategy: .sequential)])
        #expect(driver.ask() == "scan everything of blue")
        try driver.learnAll(free: "10.0.0.5 10.0.0.6")
        for own in ["10.0.0.5", "10.0.0.6"] {
            #expect(driver.ask() == "create \(own)")
            driver.slot.avoid(try address(own))
        }
        #expect(driver.ask() == "finished")
        #expect(
            driver.slot.failure?.description == """
                no address is free: IPPool "blue": 2 usable addresses, 0 allocated, 0 held by claims, 0 cooling, \
                2 are addresses of this node
                """)
    }

    // MARK: What this node released a moment ago

    @Test(arguments: PoolStrategy.allCases)
    func `an address that was freed a moment ago is tried first, whatever the hint says`(strategy: PoolStrategy) throws
    {
        var driver = try SlotDriver([pool("10.0.0.0/28", strategy: strategy, free: "")])
        driver.slot.offer([
            FreedAddress(address: try address("10.0.0.9"), poolUID: "uid-green", isFree: true),
            FreedAddress(address: try address("10.0.0.7"), poolUID: "uid-blue", isFree: true),
            FreedAddress(address: try address("10.0.9.9"), poolUID: "uid-blue", isFree: true),
        ])
        #expect(driver.ask() == "create 10.0.0.7")
        try driver.answer(.alreadyExists)
        #expect(driver.ask() == "scan everything of blue")
    }

    @Test func `an address that began to cool a moment ago can be taken over`() throws {
        var driver = try SlotDriver([pool("10.0.0.0/28", free: "")])
        driver.slot.offer([FreedAddress(address: try address("10.0.0.7"), poolUID: "uid-blue", isFree: false)])
        #expect(driver.ask() == "scan cooling of blue")
        try driver.learn(free: "")
        #expect(driver.ask() == "get 10.0.0.7")
        try driver.answer(.object(.cooling))
        #expect(driver.ask() == "wait 2 s")
    }

    // MARK: Take-overs

    @Test func `a cooling address that is gone when it is read is created`() throws {
        var driver = try SlotDriver([pool("10.0.0.0/28", free: "")])
        _ = driver.ask()
        try driver.learn(free: "", cooling: "10.0.0.9")
        try driver.next(.notFound)
        #expect(driver.ask() == "create 10.0.0.9")
        #expect(driver.records == "10.0.0.9 late")
    }

    @Test(arguments: [Holder.other, .deleting, .malformed, .otherMachine, .coolingInOtherPool])
    func `a cooling address that another one has when it is read is followed by the next`(holder: Holder) throws {
        var driver = try SlotDriver([pool("10.0.0.0/28", free: "")])
        _ = driver.ask()
        try driver.learn(free: "", cooling: "10.0.0.8 10.0.0.9")
        let first = driver.ask()
        try driver.answer(.object(holder))
        let second = driver.ask()
        #expect(Set([first, second]) == ["get 10.0.0.8", "get 10.0.0.9"])
        try driver.answer(.object(holder))
        #expect(driver.ask() == "finished")
        #expect(driver.slot.state.brief == "failed: exhausted")
    }

    @Test func `three cooling addresses are tried and no more`() throws {
        var driver = try SlotDriver([pool("10.0.0.0/28", free: "")])
        _ = driver.ask()
        try driver.learn(free: "", cooling: "10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6")
        for _ in 0..<ClaimSlot.maximumTakeOvers { try driver.next(.object(.other)) }
        #expect(driver.ask() == "finished")
        #expect(driver.slot.state.brief == "failed: exhausted")
    }

    @Test func `a requested address whose take-over fails three times is refused with its holder`() throws {
        var driver = try SlotDriver.one(exact: true)
        try driver.next(.alreadyExists)
        for version in 0..<ClaimSlot.maximumTakeOvers {
            try driver.next(.object(.cooling, version: "\(version)"))
            try driver.next(.conflict)
        }
        try driver.next(.object(.cooling))
        #expect(
            driver.slot.failure?.description == "the requested address 10.0.0.5 is taken: cooling, node n1")
    }

    // MARK: Bounds

    @Test func `creates are bounded when every address is taken`() throws {
        var driver = try SlotDriver([pool("10.0.0.0/16")])
        while driver.slot.failure == nil, driver.slot.creates <= 1000 {
            let step = driver.ask()
            if step.hasPrefix("create") { try driver.answer(.alreadyExists) }
            if step.hasPrefix("scan") {
                let free = (1...2).flatMap { third in (1...200).map { "10.0.\(third).\($0)" } }
                try driver.learn(free: free.joined(separator: " "))
            }
        }
        #expect(driver.slot.creates == ClaimSlot.maximumCreates)
        #expect(driver.slot.state.brief == "failed: exhausted")
    }

    @Test func `creates are bounded when a name is said to exist and not to exist in turn`() throws {
        var driver = try SlotDriver.one(exact: true)
        while driver.slot.failure == nil, driver.slot.creates <= 1000 {
            try driver.next(.alreadyExists)
            try driver.next(.notFound)
        }
        #expect(driver.slot.creates == ClaimSlot.maximumCreates)
    }

    @Test(arguments: [Answer.timeout, .unreachable, .tooMany, .html(502), .unserved])
    func `creates are bounded when none is answered`(answer: Answer) throws {
        var driver = try SlotDriver.one()
        while driver.slot.failure == nil, driver.slot.creates <= 1000 { try driver.next(answer) }
        #expect(driver.slot.creates == ClaimSlot.maximumCreates)
        #expect(driver.slot.state.brief == "failed: api")
    }

    // MARK: One address for one slot

    @Test func `what another slot holds or tries is not chosen`() throws {
        var driver = try SlotDriver([
            pool("10.0.0.0/28", strategy: .sequential, free: "10.0.0.4 10.0.0.5 10.0.0.6")
        ])
        driver.slot.choose(avoiding: ["10.0.0.4", "10.0.0.5"], using: &driver.generator)
        #expect(driver.ask() == "create 10.0.0.6")
    }

    @Test func `what another slot takes over is not chosen`() throws {
        var driver = try SlotDriver([pool("10.0.0.0/28", free: "")])
        _ = driver.ask()
        try driver.learn(free: "", cooling: "10.0.0.8 10.0.0.9")
        driver.slot.choose(avoiding: ["10.0.0.8"], using: &driver.generator)
        #expect(driver.ask() == "get 10.0.0.9")
    }

    @Test func `a name that was given up is not chosen from another pool of the slot`() throws {
        var driver = try SlotDriver([
            pool("10.0.0.4/32", named: "a"), pool("10.0.0.4/30", named: "b", strategy: .sequential, free: "10.0.0.5"),
            pool("10.0.0.4/31", named: "c", strategy: .sequential, free: "10.0.0.4 10.0.0.5"),
        ])
        try driver.next(.timeout)
        try driver.next(.alreadyExists)
        try driver.next(.object(.other))
        #expect(driver.records == "10.0.0.4 late")
        #expect(driver.ask() == "scan everything of a")
        try driver.learn(free: "")
        try driver.next(.alreadyExists)
        #expect(driver.ask() == "scan everything of b")
        try driver.learn(free: "", source: 1)
        #expect(driver.ask() == "create 10.0.0.5")
        #expect(driver.slot.journalRecords.map(\.pool) == ["c", "a"])
    }

    @Test func `a slot that must have an address reserves its name from the start`() throws {
        #expect(try SlotDriver.one().slot.names.isEmpty)
        #expect(try SlotDriver.one(exact: true).slot.names == ["10.0.0.5"])
        var driver = try SlotDriver.one()
        _ = driver.ask()
        #expect(driver.slot.names == ["10.0.0.5"])
        let slots = [try SlotDriver.one(exact: true).slot, driver.slot, try SlotDriver.one().slot]
        #expect(slots.names(besides: 2) == ["10.0.0.5"])
        #expect([slots[0]].names(besides: 0).isEmpty)
    }

    // MARK: The node's own addresses

    @Test func `an address of the node is passed over`() throws {
        var driver = try SlotDriver([pool("10.0.0.0/28", strategy: .sequential, free: "10.0.0.5 10.0.0.6")])
        driver.slot.choose(using: &driver.generator)
        #expect(try driver.slot.freshCandidate == address("10.0.0.5"))
        driver.slot.avoid(try address("10.0.0.5"))
        #expect(driver.records.isEmpty)
        #expect(driver.ask() == "create 10.0.0.6")
        #expect(driver.slot.freshCandidate == nil, "a request is under way")
    }

    @Test func `a cooling address of the node is passed over`() throws {
        var driver = try SlotDriver([pool("10.0.0.0/28", free: "")])
        _ = driver.ask()
        try driver.learn(free: "", cooling: "10.0.0.9")
        driver.slot.choose(using: &driver.generator)
        #expect(try driver.slot.freshCandidate == address("10.0.0.9"))
        driver.slot.avoid(try address("10.0.0.9"))
        #expect(driver.ask() == "finished")
        #expect(driver.slot.state.brief == "failed: exhausted")
    }

    @Test func `a requested address of the node is refused`() throws {
        var driver = try SlotDriver.one(exact: true)
        driver.slot.choose(using: &driver.generator)
        driver.slot.avoid(try address("10.0.0.5"))
        #expect(
            driver.slot.failure?.description == "the requested address 10.0.0.5 is one of this node's own")
    }

    // MARK: Rehearsals

    @Test func `a rehearsal asks the server to change nothing`() throws {
        var driver = try SlotDriver([pool("10.0.0.4/30", strategy: .sequential, free: "10.0.0.5")], isDryRun: true)
        #expect(driver.ask() == "create 10.0.0.5")
        #expect(driver.request?.query.map(\.name) == ["dryRun", "timeout"])
        try driver.answer(.done())
        #expect(driver.slot.held != nil)
    }

    @Test func `to a rehearsal an address that cools is as good as free`() throws {
        var driver = try SlotDriver([pool("10.0.0.0/28", free: "")], isDryRun: true)
        _ = driver.ask()
        try driver.learn(free: "", cooling: "10.0.0.9")
        try driver.next(.object(.cooling))
        #expect(driver.slot.held != nil)
        #expect(driver.ask() == "finished")
    }
}
