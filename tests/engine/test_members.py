"""A replica set grows, and is not made smaller: neither by mistake nor half."""

from tests.harness.program import Program
from tests.harness.waiting import eventually


def test_three_members_elect_and_fewer_are_refused_before_anything_happens() -> None:
    with Program() as program:
        program.up().ok()
        assert program.game.save("of-one", 1)
        program.use(mongoMembers=3)
        grown = program.up().ok()
        ops = grown.ops("mongo-init")
        assert ops.index("delete-replaced") < ops.index("create-replacement"), "a Job cannot change"
        assert program.ready_pods("mongo") == 3
        states = program.mongosh("print(JSON.stringify(rs.status().members.map(m => m.stateStr)))", as_root=True)
        assert sorted(states) == ["PRIMARY", "SECONDARY", "SECONDARY"]

        program.use(mongoMembers=1)
        for command in (program.preview, program.up):
            refused = command()
            assert refused.exit_code != 0
            assert 'pacman:mongoMembers is "1": must be 3 or more, as many as run' in refused.errors()
        assert program.ready_pods("mongo") == 3

        program.use(mongoMembers=3, mongoVolumeSize="4Gi", mongoStorageClass="standard")
        told = program.up().ok()
        assert "pacman:mongoVolumeSize is 4Gi: the volumes were made with 2Gi, and keep that" in told.warnings()
        assert program.outputs()["storage_class"] == "csi-hostpath-sc", "where the scores really lie"
        eventually("scores are listed", lambda: program.game.listed("of-one"))
