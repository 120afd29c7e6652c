import Testing

@testable import IPAMController

@Suite struct IPAMClaimStatusTests {
    /// What an ADD has so far must not take the place of what it is still to get.
    @Test(
        arguments: [
            (["10.0.0.5/24"], [], true), (["10.0.0.5/24"], ["10.0.0.5"], true),
            (["10.0.0.5/24"], ["10.0.0.5/24", "fd00::5/64"], false),
            (["10.0.0.5/24", "fd00::5/64"], ["10.0.0.5/24", "fd00::5/64"], true), ([], ["fd00::5"], false),
        ] as [([String], [String], Bool)])
    func `addresses are told when there is one of each family that is asked for`(
        ips: [String], wishes: [String], isTold: Bool
    ) {
        #expect(ClaimReconciler.covers(ips, wishes) == isTold)
    }
}
