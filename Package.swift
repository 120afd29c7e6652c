// swift-tools-version: 6.2
import PackageDescription

// A static build (hack/build.sh) links Debian's archives of libcurl and what it needs, and the stubs for the
// protocols that the archive refers to and that https never reaches. An ordinary build links the shared objects.
let isStatic = Context.environment["BERTH_STATIC"] == "1"

//
// Every target that needs one of these names them all: the linker takes archives in the order of their first mention.
let tlsLibraries: [LinkerSetting] =
    isStatic
    ? ["nghttp2", "ssl", "crypto", "z"].map { .linkedLibrary($0) }
    : ["ssl", "crypto"].map { .linkedLibrary($0) }

let package = Package(
    name: "berth",
    products: [
        .executable(name: "berth", targets: ["Berth"]),
        .executable(name: "berth-controller", targets: ["BerthController"]),
        .executable(name: "berth-node", targets: ["BerthNode"]),
        .executable(name: "kubectl-berth", targets: ["KubectlBerth"]),
    ],
    dependencies: [
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        // Without its traits it leaves out all of Foundation but the essentials, and swift-configuration.
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
    ],
    targets: [
        // Values and decisions, without I/O.
        .target(name: "JSONText"),
        .target(name: "IPAddressing"),
        .target(name: "CNIProtocol", dependencies: ["JSONText", "IPAddressing"]),
        .target(name: "KubernetesCore", dependencies: ["JSONText"]),
        .target(name: "IPAMAPI", dependencies: ["JSONText", "IPAddressing", "KubernetesCore", "CHost"]),
        .target(name: "IPAMEngine", dependencies: ["JSONText", "IPAddressing", "KubernetesCore", "IPAMAPI"]),
        .target(
            name: "IPAMConfiguration",
            dependencies: ["JSONText", "IPAddressing", "CNIProtocol", "KubernetesCore", "IPAMAPI", "IPAMEngine"]
        ),

        // The C side.
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .target(name: "CCurlStaticStubs"),
        .target(name: "CHost", linkerSettings: tlsLibraries),
        .target(name: "CX509", linkerSettings: tlsLibraries),

        // I/O.
        .target(
            name: "KubernetesClient",
            dependencies: ["JSONText", "KubernetesCore", "CCurl", "CHost"] + (isStatic ? ["CCurlStaticStubs"] : []),
            linkerSettings: tlsLibraries
        ),
        .target(
            name: "KubernetesClientYAML",
            dependencies: ["JSONText", "KubernetesCore", "KubernetesClient", .product(name: "Yams", package: "Yams")]
        ),
        .target(name: "KubernetesRuntime", dependencies: ["JSONText", "KubernetesCore", "KubernetesClient"]),
        .target(
            name: "IPAMLedger",
            dependencies: [
                "JSONText", "IPAddressing", "KubernetesCore", "KubernetesClient", "IPAMAPI", "IPAMEngine",
            ]
        ),
        .target(
            name: "BerthLogging",
            dependencies: ["JSONText", "KubernetesCore", .product(name: "Logging", package: "swift-log")]
        ),
        .target(
            name: "ControllerHTTP",
            dependencies: [
                "JSONText", "KubernetesCore", "CX509",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            linkerSettings: tlsLibraries
        ),
        .target(
            name: "IPAMOperation",
            dependencies: [
                "JSONText", "KubernetesCore", "KubernetesClient", "KubernetesRuntime", "IPAMAPI", "ControllerHTTP",
                "CHost", .product(name: "Logging", package: "swift-log"),
            ]
        ),
        .target(
            name: "BerthCommandLine",
            dependencies: [
                "IPAMAPI", "BerthLogging", .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ]
        ),
        .target(
            name: "IPAMController",
            dependencies: [
                "JSONText", "IPAddressing", "KubernetesCore", "KubernetesClient", "KubernetesRuntime", "IPAMAPI",
                "IPAMEngine", "IPAMOperation", "ControllerHTTP", "CHost",
                .product(name: "Logging", package: "swift-log"),
            ]
        ),
        .executableTarget(
            name: "BerthController",
            dependencies: [
                "KubernetesClient", "KubernetesClientYAML", "KubernetesRuntime", "IPAMAPI", "IPAMEngine",
                "IPAMController", "ControllerHTTP", "BerthLogging", "BerthCommandLine", "CHost",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ]
        ),
        .target(
            name: "IPAMNode",
            dependencies: [
                "JSONText", "IPAddressing", "KubernetesCore", "KubernetesClient", "KubernetesRuntime", "IPAMAPI",
                "IPAMEngine", "IPAMLedger", "IPAMOperation", "ControllerHTTP", "CHost",
                .product(name: "Logging", package: "swift-log"),
            ]
        ),
        .executableTarget(
            name: "BerthNode",
            dependencies: [
                "KubernetesCore", "KubernetesClient", "KubernetesClientYAML", "KubernetesRuntime", "IPAMAPI",
                "IPAMLedger", "IPAMNode", "ControllerHTTP", "BerthLogging", "BerthCommandLine", "CHost",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ]
        ),
        .target(
            name: "IPAMConsole",
            dependencies: [
                "JSONText", "IPAddressing", "CNIProtocol", "KubernetesCore", "KubernetesClient", "IPAMAPI",
                "IPAMEngine", "IPAMConfiguration",
            ]
        ),
        .executableTarget(
            name: "KubectlBerth",
            dependencies: [
                "JSONText", "IPAddressing", "KubernetesCore", "KubernetesClient", "KubernetesClientYAML", "IPAMAPI",
                "IPAMEngine", "IPAMConsole", "BerthCommandLine", "CHost",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]
        ),
        .executableTarget(
            name: "Berth",
            dependencies: [
                "JSONText", "IPAddressing", "CNIProtocol", "KubernetesCore", "KubernetesClient", "IPAMAPI",
                "IPAMEngine", "IPAMConfiguration", "IPAMLedger", "CHost",
            ]
        ),

        // Tests.
        .target(
            name: "TestSupport",
            dependencies: [
                "JSONText", "IPAddressing", "KubernetesCore", "KubernetesClient", "KubernetesClientYAML", "IPAMAPI",
                "CHost",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
            ],
            path: "Tests/TestSupport"
        ),
        .executableTarget(
            name: "BerthBench",
            dependencies: ["JSONText", "IPAddressing", "KubernetesCore", "KubernetesClient", "IPAMAPI", "TestSupport"],
            path: "Tests/BerthBench"
        ),
        .testTarget(name: "JSONTextTests", dependencies: ["JSONText"]),
        .testTarget(name: "IPAddressingTests", dependencies: ["IPAddressing"]),
        .testTarget(name: "CNIProtocolTests", dependencies: ["CNIProtocol", "JSONText", "IPAddressing"]),
        .testTarget(name: "KubernetesCoreTests", dependencies: ["KubernetesCore", "JSONText"]),
        .testTarget(
            name: "KubernetesClientTests",
            dependencies: ["KubernetesClient", "KubernetesClientYAML", "KubernetesCore", "JSONText"]
        ),
        .testTarget(
            name: "KubernetesRuntimeTests",
            dependencies: ["KubernetesRuntime", "KubernetesClient", "KubernetesCore", "JSONText"]
        ),
        .testTarget(
            name: "IPAMAPITests",
            dependencies: [
                "IPAMAPI", "JSONText", "IPAddressing", "KubernetesCore", .product(name: "Yams", package: "Yams"),
            ]
        ),
        .testTarget(
            name: "IPAMEngineTests",
            dependencies: ["IPAMEngine", "IPAMAPI", "IPAddressing", "KubernetesCore", "JSONText"]
        ),
        .testTarget(
            name: "IPAMLedgerTests",
            dependencies: [
                "IPAMLedger", "IPAMEngine", "IPAMAPI", "IPAddressing", "JSONText", "KubernetesCore", "KubernetesClient",
            ]
        ),
        .testTarget(
            name: "BerthLoggingTests",
            dependencies: ["BerthLogging", "JSONText", .product(name: "Logging", package: "swift-log")]
        ),
        .testTarget(
            name: "ControllerHTTPTests",
            dependencies: [
                "ControllerHTTP", "CHost", "JSONText", "KubernetesCore", "KubernetesClient",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),
        .testTarget(
            name: "IPAMControllerTests",
            dependencies: [
                "IPAMController", "IPAMEngine", "IPAMAPI", "IPAddressing", "JSONText", "KubernetesCore",
                "KubernetesClient", "KubernetesRuntime", "ControllerHTTP", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Yams", package: "Yams"),
            ]
        ),
        .testTarget(
            name: "IPAMNodeTests",
            dependencies: [
                "IPAMNode", "IPAMLedger", "IPAMEngine", "IPAMAPI", "IPAddressing", "JSONText", "KubernetesCore",
                "KubernetesClient", "KubernetesRuntime", "ControllerHTTP", "IPAMOperation", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Yams", package: "Yams"),
            ]
        ),
        .testTarget(
            name: "IPAMConsoleTests",
            dependencies: [
                "IPAMConsole", "IPAMEngine", "IPAMAPI", "IPAddressing", "JSONText", "KubernetesCore",
                "KubernetesClient", "TestSupport",
            ]
        ),
        .testTarget(
            name: "BerthTests",
            dependencies: [
                "Berth", "CNIProtocol", "JSONText", "IPAddressing", "IPAMAPI", "IPAMConfiguration", "IPAMEngine",
                "IPAMLedger", "KubernetesCore", "KubernetesClient",
            ]
        ),
        .testTarget(
            name: "ControlPlaneTests",
            dependencies: [
                "TestSupport", "JSONText", "IPAddressing", "KubernetesCore", "KubernetesClient",
                "KubernetesRuntime", "IPAMAPI", "IPAMEngine", "IPAMLedger",
            ]
        ),
        .testTarget(
            name: "EndToEndTests",
            dependencies: ["TestSupport", "JSONText", "IPAddressing", "KubernetesClient", "IPAMAPI"]
        ),
    ],
    swiftLanguageModes: [.v6]
)

let cTargets: Set = ["CCurl", "CCurlStaticStubs", "CHost", "CX509"]
for target in package.targets where !cTargets.contains(target.name) {
    target.swiftSettings = [
        .treatAllWarnings(as: .error),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
    ]
}
