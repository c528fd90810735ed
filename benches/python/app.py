from wit_world import exports

import program


class Run(exports.Run):
    def run(self):
        program.main()
