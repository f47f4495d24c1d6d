// Prints what this member knows about its replica set, as one line of JSON: the members, and the
// featureCompatibilityVersion. If it knows nothing, the line has the reason. Runs in mongosh, in the pod of a member.

const fs = require("fs");

const secret = (name) => encodeURIComponent(fs.readFileSync(`/secrets/${name}`, "utf8").trim());
const user = `${secret("username")}:${secret("password")}`;
// A stopped mongod still accepts connections. Nobody wants to wait long for it.
const options = "authSource=admin&directConnection=true&serverSelectionTimeoutMS=5000&socketTimeoutMS=10000";

function adminOf(host) {
  return new Mongo(`mongodb://${user}@${host}/?${options}`).getDB("admin");
}

// The status that members exchange has no version, so each member is asked by its own name.
function versionOf(host) {
  try {
    const reply = adminOf(host).runCommand({ buildInfo: 1 });
    return reply.version;
  } catch (error) {
    return null;
  }
}

function look() {
  const admin = adminOf("127.0.0.1");
  const status = admin.runCommand({ replSetGetStatus: 1 });
  const parameter = admin.runCommand({ getParameter: 1, featureCompatibilityVersion: 1 });
  const members = status.members.map((member) => ({
    host: member.name,
    state: member.stateStr,
    // Epoch 0 if the member has not answered since this one started.
    optime: member.optimeDate ? member.optimeDate.getTime() : 0,
    version: member.health === 1 ? versionOf(member.name) : null,
    message: member.lastHeartbeatMessage || "",
  }));
  const known = { members, featureCompatibilityVersion: parameter.featureCompatibilityVersion };
  return known;
}

let answer;
try {
  answer = look();
} catch (error) {
  answer = { error: error.errmsg || error.message };
}
print(JSON.stringify(answer));
