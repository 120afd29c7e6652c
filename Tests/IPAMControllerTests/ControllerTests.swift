import Testing

/// The controller on a real API server. It sees all of its control plane, so one test runs at a time.
@Suite("Controller", .controllerPlane, .serialized, .timeLimit(.minutes(5)))
enum ControllerTests {}
