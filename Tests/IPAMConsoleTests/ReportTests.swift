import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMConsole

/// What people read, word for word.
@Suite struct ReportTests {
    private func status(
        _ allocated: Int, _ free: Int, generation: Int = 3, cooling: Int = 0, conditions: [Condition] = []
    ) -> IPPool.Status {
        IPPool.Status(
            allocated: allocated, cooling: cooling, held: 0, free: free, observedGeneration: generation,
            conditions: conditions)
    }

    private func condition(
        _ type: PoolCondition, _ status: Condition.Status, _ reason: String = "R", _ message: String = "M"
    ) -> Condition {
        Condition(type: type.rawValue, status: status, reason: reason, message: message, lastTransitionTime: "t")
    }

    // MARK: status

    private func statusReport() -> StatusReport {
        let slash29 = IPPool.Spec(subnet: "10.0.0.0/29", gateway: "10.0.0.1")
        let ready = condition(.ready, .true)
        let entries = [
            pool("low", slash29, status: status(1, 4, conditions: [ready])),
            pool("high", slash29, status: status(4, 1, conditions: [ready])),
            pool("stale", slash29, status: status(9, 9, generation: 2)),
            pool(
                "full", slash29, status: status(4, 0, cooling: 1, conditions: [ready, condition(.exhausted, .true)])),
            pool("wrong", IPPool.Spec(subnet: "10.0.0.0/33")),
            pool(
                "off", slash29,
                status: status(
                    0, 5,
                    conditions: [
                        condition(.ready, .false, "Disabled", "spec.disabled is true"),
                        condition(.consistent, .false, "StrayAllocations", "1 allocation names the pool"),
                    ])),
        ]
        let pools = entries.map { entry -> StatusReport.Pool in
            guard let pool = entry.valid else { return StatusReport.Pool(entry, nil) }
            let figures =
                PoolFigures(statusOf: pool) ?? PoolFigures(counting: [.bound, .cooling, .held, nil], in: pool)
            return StatusReport.Pool(entry, figures)
        }
        return StatusReport(pools, fenced: 2, others: ["no replica leads"])
    }

    @Test func `status shows exhausted pools first, then the fuller ones, and what is wrong`() {
        let text = statusReport().text(Style(), isWide: false)
        #expect(
            text == """
                POOL    SUBNET        USED              ALLOCATED   COOLING   HELD   FREE   CONDITIONS
                full    10.0.0.0/29   ██████████ 100%           4         1      0      0   Exhausted
                wrong   10.0.0.0/33   -                         -         -      -      -   Invalid
                high    10.0.0.0/29   ████████░░  80%           4         0      0      1   Ready
                stale   10.0.0.0/29   ████████░░  80%           2         1      1      1   -
                low     10.0.0.0/29   ██░░░░░░░░  20%           1         0      0      4   Ready
                off     10.0.0.0/29   ░░░░░░░░░░   0%           0         0      0      5   Disabled,Inconsistent

                Problems:
                  ! IPPool full is exhausted: none of 5 addresses is free, 1 of them cooling
                  ! IPPool wrong is not valid: spec.subnet: "10.0.0.0/33" is not an IP prefix: "33" is not an IPv4 prefix length, from 0 to 32
                  ! IPPool off serves no new claims: spec.disabled is true
                  ! IPPool off: 1 allocation names the pool
                  ! no status of the present generation, so that their allocations were counted just now: stale
                  ! 2 addresses are fenced: the nodes do not report, and may still use them (kubectl get ipallocations -l ipam.berth.dev/state=Fenced)
                  ! no replica leads

                """)
    }

    @Test func `A pool that is being deleted says so first`() throws {
        let (ready, deleting) = (condition(.ready, .true), condition(.ready, .false, "Deleting", "it is being deleted"))
        func shown(_ status: IPPool.Status?, _ subnet: String = "10.0.0.0/30") -> String? {
            let entry = pool("blue", IPPool.Spec(subnet: subnet), status: status, deleted: true)
            let figures = entry.valid.flatMap { PoolFigures(statusOf: $0) }
            let lines = StatusReport([.init(entry, figures)]).text(Style(), isWide: false).split(separator: "\n")
            return lines[1].split(separator: " ").last.map(String.init)
        }
        #expect(shown(status(1, 1, conditions: [ready])) == "Deleting")
        #expect(shown(status(2, 0, conditions: [ready, condition(.exhausted, .true)])) == "Deleting,Exhausted")
        #expect(shown(status(2, 0, conditions: [deleting, condition(.exhausted, .true)])) == "Deleting,Exhausted")
        #expect(shown(nil) == "Deleting")
        #expect(shown(nil, "10.0.0.0/33") == "Deleting,Invalid")
    }

    @Test func `status for programs says where its figures are from`() throws {
        let json = statusReport().json
        let pools = try #require(json["pools"]?.array)
        #expect(pools.map { $0["name"]?.string } == ["full", "wrong", "high", "stale", "low", "off"])
        #expect(pools[0]["exhausted"] == true)
        #expect(pools[0]["source"]?.string == "status")
        #expect(pools[3]["source"]?.string == "counted")
        #expect(pools[1]["free"] == nil)
        #expect(json["problems"]?.array?.count == 7)
        #expect(statusReport().names.first == "ippool.ipam.berth.dev/full")
    }

    @Test func `A pool larger than its status can count is not full`() throws {
        let entry = pool("six", IPPool.Spec(subnet: "fd00::/48"), status: status(5, .max))
        let figures = try #require(PoolFigures(statusOf: try valid(entry)))
        #expect(figures.free == figures.capacity - 5)
    }

    @Test func `Without pools, status says so`() {
        #expect(StatusReport([]).text(Style(), isWide: false) == "There are no pools.\n")
    }

    // MARK: check

    @Test func `check shows findings and counts what remains`() throws {
        let leak = Finding(.leak(.releasable(.podDeleted)), try entry("10.0.0.7"), "the pod is deleted")
        let stranger = Finding(.outsidePool, try entry("10.9.0.7"), "it is outside of IPPool \"blue\"")
        let counts = CheckReport.Counts(allocations: 2, pools: 1, pods: 0, nodes: 1)
        var report = CheckReport(findings: [leak, stranger], counts: counts)
        #expect(
            report.text(Style(), isWide: false) == """
                FINDING    REASON        OBJECT     POD          MESSAGE
                Leak       PodDeleted    10.0.0.7   shop/web-0   the pod is deleted
                Stranger   OutsidePool   10.9.0.7   shop/web-0   it is outside of IPPool "blue"

                2 allocations, 1 pool, 0 pods, 1 node: 1 leak, 1 stranger; `kubectl berth check --fix` releases 1

                """)
        report.fixed = [.init(allocation: "10.0.0.7", result: .released)]
        #expect(report.remaining == [stranger])
        #expect(
            report.text(Style(), isWide: false).hasSuffix(
                "\nreleased 10.0.0.7\n2 allocations, 1 pool, 0 pods, 1 node: 1 stranger\n"))
        #expect(report.json["findings"]?.array?.map { $0["fixable"] } == [true, false])
        #expect(report.json["fixed"]?.array == [["allocation": "10.0.0.7", "result": "Released"]])
        #expect(
            CheckReport(findings: [], counts: counts).text(Style(), isWide: false)
                == "2 allocations, 1 pool, 0 pods, 1 node: all in order\n")
    }

    @Test func `check names blocks by their kind, and claims beside their allocations`() throws {
        let claim = ClaimReference(namespace: "shop", name: "db", uid: "u")
        var leak = Finding(.claimMissing, try entry("10.0.0.7", state: .held, pod: nil, claim: claim), "gone")
        leak.claim = claim
        let block = Finding(.blocksOverlap, block: "10.0.0.0-28", pool: "blue", node: "n1", "it overlaps")
        let counts = CheckReport.Counts(allocations: 1, pools: 1, pods: 0, nodes: 1, claims: 1, blocks: 2)
        let report = CheckReport(findings: [leak, block], counts: counts)
        #expect(
            report.text(Style(), isWide: false) == """
                FINDING    REASON          OBJECT                POD   MESSAGE
                Leak       ClaimMissing    10.0.0.7              -     gone
                Stranger   BlocksOverlap   ipblock/10.0.0.0-28   -     it overlaps

                1 allocation, 1 pool, 0 pods, 1 node, 1 claim, 2 blocks: 1 leak, 1 stranger; `kubectl berth check --fix` \
                releases 1

                """)
        #expect(report.names == ["ipallocation.ipam.berth.dev/10.0.0.7", "ipblock.ipam.berth.dev/10.0.0.0-28"])
        let json = report.json["findings"]?.array ?? []
        #expect(json.map { $0["allocation"]?.string } == ["10.0.0.7", nil])
        #expect(json.map { $0["block"]?.string } == [nil, "10.0.0.0-28"])
        #expect(json.map { $0["claim"] } == [claim.json, nil])
        #expect(json.map { $0["fixable"] } == [true, false])
    }

    // MARK: who

    private func holder(
        _ entry: LedgerEntry, pod: PodFact = .present(uid: "pod-uid"), node: NodeFact = .ready,
        agent: AgentFact = .none, problems: [String] = []
    ) -> Holder {
        let facts = ReclaimFacts(pod: pod, node: node, agent: agent)
        return Holder(
            entry, why: Holder.why(entry, facts, now: .seconds(1), wallClock: wallClock), problems: problems)
    }

    @Test func `who tells of one holder everything`() throws {
        let report = HolderReport(
            [holder(try entry("10.0.0.7", network: "red", pool: "red"), problems: ["it is wrong"])],
            wallClock: wallClock)
        #expect(
            report.text(Style(), isWide: false) == """
                10.0.0.7 in network red: held by pod shop/web-0 on node n1
                  State       Bound, for 4m5s (since 2026-01-02T03:00:00Z)
                  Why         the pod is there
                  Pool        red
                  Node        n1
                  Interface   eth0 in CNI network net
                  Container   c1
                  Problem     it is wrong

                """)
    }

    @Test func `who shows several in a table, by network and address`() throws {
        let report = HolderReport(
            [
                holder(try entry("10.0.0.10")), holder(try entry("10.0.0.9"), pod: .absent, node: .notReady),
                holder(try entry("10.0.0.8", state: .cooling)),
            ], wallClock: wallClock)
        #expect(
            report.text(Style(), isWide: false) == """
                ADDRESS     POOL   STATE     SINCE   POD          NODE   INTERFACE   WHY
                10.0.0.8    blue   Cooling   5s      shop/web-0   n1     -           released 5s ago; rests for 10s
                10.0.0.9    blue   Bound     4m5s    shop/web-0   n1     eth0        the pod is deleted; its node does not report and may still use it
                10.0.0.10   blue   Bound     4m5s    shop/web-0   n1     eth0        the pod is there

                """)
    }

    @Test func `Every state is explained`() throws {
        let claim = ClaimReference(namespace: "shop", name: "c", uid: "u")
        #expect(holder(try entry("10.0.0.7"), node: .notReady).why == "the pod is there; its node does not report")
        #expect(
            holder(try entry("10.0.0.7"), pod: .absent).why
                == "the pod is deleted; berth-controller frees it after its grace period")
        #expect(
            holder(try entry("10.0.0.7"), pod: .absent, agent: .reports).why
                == "the pod is deleted; the node's agent frees it when the sandbox is dead")
        #expect(
            holder(try entry("10.0.0.7", state: .fenced)).why
                == "its node reports again; berth-controller takes the fence away")
        #expect(
            holder(try entry("10.0.0.7", state: .fenced), node: .notReady).why
                == "its node does not report; kept until that is back, deleted or out of service")
        #expect(
            holder(try entry("10.0.0.7", state: .held, pod: nil, claim: claim)).why == "kept for claim shop/c")
        // The last pod is not whom it is kept for.
        #expect(holder(try entry("10.0.0.7", state: .held, claim: claim)).why == "kept for claim shop/c")
        #expect(
            holder(try entry("10.0.0.7", origin: .manual, pod: nil)).why
                == "entered by hand; nothing frees it but you")
        #expect(
            holder(try entry("10.0.0.7", origin: .static), pod: .absent).why
                == "a static pod; a missing mirror pod says nothing")
        #expect(
            holder(try entry("10.0.0.7", origin: .container, pod: nil), pod: .absent).why
                == "a container that is no pod; kept until its DEL, or its node's end")
        var overdue = try entry("10.0.0.7", state: .cooling)
        overdue.releasedAt = "2026-01-02T02:04:05Z"
        #expect(
            holder(overdue).why
                == "released 60m ago; its rest is over, and berth-controller has not deleted it")
    }

    @Test func `An address that nobody has is explained by the pools around it`() throws {
        let spec = IPPool.Spec(subnet: "10.0.0.0/24", exclude: ["10.0.0.8"], gateway: "10.0.0.1")
        let pools = [
            pool("blue", spec), pool("off", IPPool.Spec(subnet: "10.0.0.0/25", disabled: true)),
            pool("red", IPPool.Spec(subnet: "10.0.0.0/24", network: "red")),
        ]
        func texts(_ address: String, network: String? = nil) throws -> [String] {
            Vacancy.vacancies(of: try IPAddress(parsing: address), network: network, pools: pools).map(\.explanation)
        }
        #expect(
            try texts("10.0.0.7") == [
                "is free in IPPool blue", "is free in IPPool off, which is disabled (spec.disabled)",
                "is free in IPPool red (network red)",
            ])
        #expect(
            try texts("10.0.0.1", network: "") == [
                "is never given: IPPool blue has it as its gateway",
                "is free in IPPool off, which is disabled (spec.disabled)",
            ])
        #expect(try texts("10.9.0.1") == ["is in the subnet of no pool"])
        let report = HolderReport(
            [], vacancies: Vacancy.vacancies(of: try IPAddress(parsing: "10.9.0.1"), network: nil, pools: pools),
            wallClock: wallClock)
        #expect(report.text(Style(), isWide: false) == "10.9.0.1 is in the subnet of no pool\n")
    }

    @Test(arguments: [
        ("10.0.0.0", "has it as its network address"), ("10.0.0.255", "has it as its broadcast address"),
        ("10.0.0.1", "has it as its gateway"), ("10.0.0.9", "leaves it out (spec.exclude[1]: 10.0.0.8/29)"),
        ("10.0.0.2", "has it outside of spec.ranges"),
    ])
    func `An address that is never given is so for one reason`(_ address: String, _ reason: String) throws {
        let spec = IPPool.Spec(
            subnet: "10.0.0.0/24", ranges: ["10.0.0.4-10.0.0.100"], exclude: ["10.0.0.5", "10.0.0.8/29"],
            gateway: "10.0.0.1")
        #expect(try explanations(of: address, spec) == ["is never given: IPPool blue \(reason)"])
    }

    @Test(arguments: [
        ("fd00::/64", "fd00::", "has it as its subnet-router anycast address"),
        ("0.0.0.0/1", "0.0.0.7", "gives no address of \"this host\" (0.0.0.0/8)"),
        ("0.0.0.0/1", "127.0.0.1", "gives no loopback address"),
        ("128.0.0.0/1", "224.0.0.1", "gives no multicast address"),
        ("::/1", "::1", "gives no loopback address"),
        ("::/1", "::ffff:10.0.0.7", "gives no IPv4-mapped address"),
        ("8000::/1", "ff02::1", "gives no multicast address"),
    ])
    func `What no host may have is named`(_ subnet: String, _ address: String, _ reason: String) throws {
        #expect(
            try explanations(of: address, IPPool.Spec(subnet: subnet)) == ["is never given: IPPool blue \(reason)"])
    }

    private func explanations(of address: String, _ spec: IPPool.Spec) throws -> [String] {
        Vacancy.vacancies(of: try IPAddress(parsing: address), network: nil, pools: [pool("blue", spec)])
            .map(\.explanation)
    }

    // MARK: free

    @Test func `free shows ranges, up to a limit`() throws {
        let blue = try valid(pool("blue", IPPool.Spec(subnet: "10.0.0.0/28", gateway: "10.0.0.1")))
        let taken = try ["10.0.0.4", "10.0.0.8", "10.0.0.200", "fd00::1"].map { try IPAddress(parsing: $0) }
        #expect(
            FreeReport(blue, taken: taken, limit: 2).text(Style(), isWide: false) == """
                FROM       TO         COUNT
                10.0.0.2   10.0.0.3       2
                10.0.0.5   10.0.0.7       3

                … and 1 more range; see --limit
                11 of 13 addresses of IPPool blue are free

                """)
        #expect(
            FreeReport(blue, taken: taken, limit: 50).names
                == ["10.0.0.2-10.0.0.3", "10.0.0.5-10.0.0.7", "10.0.0.9-10.0.0.14"])
        let off = try valid(pool("off", IPPool.Spec(subnet: "10.0.0.0/30", disabled: true)))
        let none = FreeReport(off, taken: try ["10.0.0.1", "10.0.0.2"].map { try IPAddress(parsing: $0) }, limit: 9)
        #expect(
            none.text(Style(), isWide: false) == """
                0 of 2 addresses of IPPool off are free
                but none is given: the pool is disabled (spec.disabled)

                """)
    }

    // MARK: version

    @Test func `Who leads is told by the Lease, also of a controller that was stopped or killed`() {
        func lease(_ holder: String, renewed: String = "2026-01-02T03:04:00.000042Z") -> JSON {
            [
                "spec": [
                    "holderIdentity": .string(holder), "leaseDurationSeconds": 15, "renewTime": .string(renewed),
                ]
            ]
        }
        func text(_ lease: JSON?) -> String { Leadership(lease, wallClock: wallClock).text }
        #expect(text(lease("a_1")) == "a_1 leads")
        // Clocks differ.
        #expect(text(lease("a_1", renewed: "2026-01-02T03:02:50Z")) == "a_1 leads")
        #expect(text(lease("a_1", renewed: "2026-01-02T03:02:49Z")) == "no replica leads, last was a_1")
        #expect(text(lease("a_1", renewed: "2026-01-02T04:00:00Z")) == "a_1 leads")
        #expect(text(lease("a_1", renewed: "")) == "a_1 leads")
        #expect(text(lease("")) == "no replica leads")
        #expect(text([:]) == "no replica leads")
        #expect(text(nil) == "no replica leads")
        #expect(Leadership(nil, wallClock: wallClock) == .never)
        #expect(Leadership(lease(""), wallClock: wallClock) == .nobody(last: nil))
    }

    @Test func `status names a controller that does not lead, wherever it is`() {
        let effect = ": nothing is reclaimed or counted"
        func problem(_ leadership: Leadership, _ namespace: String? = "n") -> String? {
            ControllerSighting(leadership, namespace: namespace).problem
        }
        #expect(problem(.of("a_1")) == nil)
        #expect(problem(.nobody(last: nil)) == "no replica of berth-controller leads" + effect)
        #expect(problem(.nobody(last: "a_1")) == "no replica of berth-controller leads, last was a_1" + effect)
        #expect(problem(.never) == "berth-controller has never run in namespace n" + effect)
        #expect(problem(.never, nil) == "berth-controller has never run" + effect)
    }

    @Test func `The remedy for a server without the custom resources holds for old servers, too`() {
        let request = APIRequest.get(.ipPools, name: "blue")
        let error = APIError.notKubernetes(httpStatus: 404, excerpt: "404 page not found", request.subject)
        #expect(
            ConsoleError(error).remedy
                == "install Berth's custom resources: kubectl apply -k config/crd (with --validate=false before"
                + " Kubernetes 1.31), or the Helm chart")
    }

    // MARK: wait

    @Test(arguments: [
        ("free=5", WaitCondition.free(5)), ("condition=Ready", .condition("Ready", .true)),
        ("condition=exhausted=false", .condition("exhausted", .false)), ("gone", .gone), ("delete", .gone),
        ("state=bound", .state(.bound)),
    ])
    func `Conditions are read as kubectl's`(_ text: String, _ condition: WaitCondition) throws {
        #expect(try WaitCondition(text) == condition)
    }

    @Test(arguments: ["", "free", "free=x", "free=-1", "condition=Ready=Maybe", "state=Lost", "jsonpath={}"])
    func `What is no condition is refused`(_ text: String) {
        #expect(throws: ConsoleError.self) { try WaitCondition(text) }
    }

    @Test func `Only the status of the present generation counts`() throws {
        func object(_ generation: Int) throws -> JSON {
            try JSON(
                parsing: """
                    {"metadata": {"name": "blue", "uid": "u", "generation": 3}, "spec": {"subnet": "10.0.0.0/29"},
                    "status": {"observedGeneration": \(generation), "allocated": 4, "free": 2, "conditions": [
                    {"type": "Ready", "status": "True", "reason": "R", "message": "M", "lastTransitionTime": "t"}]}}
                    """)
        }
        #expect(WaitCondition.free(2).judge(try object(3)) == .met)
        #expect(WaitCondition.free(3).judge(try object(3)) == .notYet("2 addresses are free"))
        #expect(
            WaitCondition.free(2).judge(try object(2)) == .notYet("it has no status of its present generation"))
        #expect(WaitCondition.condition("ready", .true).judge(try object(3)) == .met)
        #expect(WaitCondition.condition("Ready", .false).judge(try object(3)) == .notYet("Ready is True: M"))
        #expect(
            WaitCondition.condition("Ready", .true).judge(try object(2))
                == .notYet("it has no condition Ready of its present generation"))
        #expect(WaitCondition.free(1).judge(nil) == .notYet("it does not exist"))
        #expect(WaitCondition.gone.judge(nil) == .met)
        #expect(WaitCondition.gone.judge(try object(3)) == .notYet("it exists"))
    }
}
