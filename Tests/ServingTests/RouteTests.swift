import HTTP
import Testing

@testable import Serving

@Suite struct RouteTests {
    private static let response = HTTPResponse(status: 200, text: "x")
    private let fixed = Route.get("/-/ready") { _, _ in response }
    private let pattern = Route.get("/api/v1/tasks/{id}/runs/{run}") { _, _ in response }

    @Test(arguments: ["/-/ready/", "/-/read", "/", "", "//-/ready", "/-/ready?x"])
    func aPathIsMatchedExactly(path: String) {
        #expect(fixed.parameters(of: "/-/ready") == [:])
        #expect(fixed.parameters(of: path) == nil)
    }

    @Test(
        arguments: [
            ("/api/v1/tasks/a%2Fb/runs/7", ["id": "a%2Fb", "run": "7"]), ("/api/v1/tasks//runs/7", nil),
            ("/api/v1/tasks/a/runs/", nil), ("/api/v1/tasks/a/runs/7/", nil), ("/api/v1/tasks/a/b/runs/7", nil),
            ("/api/v2/tasks/a/runs/7", nil),
        ] as [(String, [String: String]?)]
    )
    func partsOfAPathAreParameters(path: String, parameters: [String: String]?) {
        #expect(pattern.parameters(of: path) == parameters)
    }

    @Test func whatIsAllowed() {
        #expect(fixed.allowedMethods == "GET, HEAD")
        #expect(Route.post("/-/reload") { _ in .now(Self.response) }.allowedMethods == "POST")
    }
}
